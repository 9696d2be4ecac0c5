// The options of a CrossModalDecoder, their defaults, which of them go together, and CMT's sizes.

/** What attention adds to its scores for where a token is, as seen from a query: see `AttentionBiasGenerator`. */
export type DecoderBias = 'none' | 'dense' | 'factored'

export type BiasShape =
  | { type: 'window'; cells?: number }
  | { type: 'gaussian'; sigma?: number | { lidar: number; cameras: number }; tolerance?: number }

export interface CrossModalConfig {
  /** Width of queries and tokens inside the decoder. Default 256. */
  hiddenSize?: number
  /** Default 8. */
  heads?: number
  /** Default 6. */
  layers?: number
  /** Learned object queries. Default 900. */
  queries?: number
  classes: number
  /** Numbers of a box, its centre first. Default 10: centre, size, sine and cosine of the yaw, velocity along x and y. */
  boxDim?: number
  /** Hidden width of the layers' MLPs. Default 4·hiddenSize. */
  mlpSize?: number
  /** On attention weights and on what each branch adds, in training. Default 0. */
  dropout?: number
  /** A bird's-eye view: tokens [B, h·w, channels], row-major, x along a row. Absent: a model without it. */
  lidar?: { grid: readonly [height: number, width: number]; channels: number }
  /** Images: tokens [B, count·h·w, channels], camera by camera, row-major. Absent: a model without them. */
  cameras?: {
    count: number
    grid: readonly [height: number, width: number]
    channels: number
    /**
     * Where a pixel may lie: `count` points along its ray, at depths `from` + i·(`to` − `from`)/`count` in the units of
     * `cameraProjection`'s third row. Default 64 from 1 to 61.2, as CMT's metres.
     */
    depths?: { count: number; from: number; to: number }
  }
  /**
   * What queries hold before the first layer. 'zeros', the default, as in PETR and CMT; 'position', their embedded positions, which their
   * heads then know: learns sooner.
   */
  firstContent?: 'zeros' | 'position'
  /** Default 'none'. */
  bias?: DecoderBias
  /**
   * What lies around a query's position. 'window': the square of `cells` × `cells` cells about the one it is in, for bias 'dense' (it has no low rank).
   * 'gaussian': exp(−d²/2σ²), where σ is `sigma` of the grid's side, per axis; its factors are off by at most `tolerance`. Default: a window of 15 cells
   * for 'dense', a Gaussian of tolerance 0.05 for 'factored', with sigma 0.25 for LiDAR and 0.5 for cameras, each of which adds a rank of its own.
   */
  biasShape?: BiasShape
  /** The bias's scale: a learned number in 0.5 … 5. Default { init: 2.5, learnable: true }. */
  biasScale?: { init?: number; learnable?: boolean }
  /** Keeps only what layers read, for backward, and computes the rest again: less memory, more time, the same gradients bit for bit. Default false. */
  recomputeLayers?: boolean
}

export type CompleteBiasShape =
  | { type: 'window'; cells: number }
  | { type: 'gaussian'; sigma: { lidar: number; cameras: number }; tolerance: number }

/** With every default filled in. */
export interface CompleteCrossModalConfig {
  hiddenSize: number
  heads: number
  layers: number
  queries: number
  classes: number
  boxDim: number
  mlpSize: number
  dropout: number
  lidar: CrossModalConfig['lidar']
  cameras: Required<NonNullable<CrossModalConfig['cameras']>> | undefined
  firstContent: 'zeros' | 'position'
  bias: DecoderBias
  biasShape: CompleteBiasShape
  biasScale: { init: number; learnable: boolean }
  recomputeLayers: boolean
}

/** @throws RangeError for sizes out of range and for options that do not go together. */
export function completeCrossModalConfig(config: CrossModalConfig): CompleteCrossModalConfig {
  const { hiddenSize = 256, cameras, biasScale } = config
  const complete: CompleteCrossModalConfig = {
    hiddenSize,
    heads: config.heads ?? 8,
    layers: config.layers ?? 6,
    queries: config.queries ?? 900,
    classes: config.classes,
    boxDim: config.boxDim ?? 10,
    mlpSize: config.mlpSize ?? 4 * hiddenSize,
    dropout: config.dropout ?? 0,
    lidar: config.lidar,
    cameras: cameras && { ...cameras, depths: cameras.depths ?? { count: 64, from: 1, to: 61.2 } },
    firstContent: config.firstContent ?? 'zeros',
    bias: config.bias ?? 'none',
    biasShape: completeShape(config.biasShape ?? { type: config.bias === 'factored' ? 'gaussian' : 'window' }),
    biasScale: { init: biasScale?.init ?? 2.5, learnable: biasScale?.learnable ?? true },
    recomputeLayers: config.recomputeLayers ?? false,
  }
  check(complete)
  return complete
}

function completeShape(shape: BiasShape): CompleteBiasShape {
  const known = shape.type === 'window' || shape.type === 'gaussian'
  must(known, `biasShape.type is '${(shape as BiasShape).type}', expected window or gaussian`)
  if (shape.type === 'window') return { type: 'window', cells: shape.cells ?? 15 }
  const { sigma = { lidar: 0.25, cameras: 0.5 }, tolerance = 0.05 } = shape
  return { type: 'gaussian', sigma: typeof sigma === 'number' ? { lidar: sigma, cameras: sigma } : sigma, tolerance }
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new RangeError(`CrossModalDecoder: ${what}`)
}

function wholeNumbers(sizes: Record<string, number>, hint = ''): void {
  for (const [name, size] of Object.entries(sizes))
    must(Number.isInteger(size) && size > 0, `${name} is ${size}, expected a whole number above 0${hint}`)
}

function check(config: CompleteCrossModalConfig): void {
  const { hiddenSize, heads, layers, queries, classes, boxDim, mlpSize, dropout, lidar, cameras, bias } = config
  wholeNumbers({ hiddenSize, heads, layers, queries, classes, boxDim, mlpSize })
  must(hiddenSize % heads === 0, `heads ${heads} does not divide hiddenSize ${hiddenSize}`)
  must(hiddenSize % 2 === 0, `hiddenSize is ${hiddenSize}, expected an even number: sines and cosines`)
  must(boxDim >= 3, `boxDim is ${boxDim}, expected at least 3: a box begins with its centre`)
  must(dropout >= 0 && dropout < 1, `dropout is ${dropout}, expected 0 ≤ dropout < 1`)
  must(lidar !== undefined || cameras !== undefined, 'there is no modality to look at: give lidar, cameras or both')
  const leave = (name: string) => `; leave ${name} out for a model without that modality`
  if (lidar) {
    const { grid, channels } = lidar
    wholeNumbers({ 'lidar.grid[0]': grid[0], 'lidar.grid[1]': grid[1], 'lidar.channels': channels }, leave('lidar'))
  }
  if (cameras) {
    const { count, grid, channels, depths } = cameras
    const sizes = { 'cameras.count': count, 'cameras.grid[0]': grid[0], 'cameras.grid[1]': grid[1] }
    wholeNumbers({ ...sizes, 'cameras.channels': channels, 'cameras.depths.count': depths.count }, leave('cameras'))
    must(
      depths.from > 0 && depths.to > depths.from,
      `cameras.depths go from ${depths.from} to ${depths.to}, expected 0 < from < to`,
    )
  }
  must(['none', 'dense', 'factored'].includes(bias), `bias is '${bias}', expected none, dense or factored`)
  checkShape(config)
  const { init } = config.biasScale
  must(init > SCALE_RANGE.low && init < SCALE_RANGE.high, `biasScale.init is ${init}, expected between 0.5 and 5`)
}

function checkShape({ bias, biasShape: shape }: CompleteCrossModalConfig): void {
  if (shape.type === 'gaussian') {
    for (const name of ['lidar', 'cameras'] as const)
      must(shape.sigma[name] > 0, `biasShape.sigma is ${shape.sigma[name]} for ${name}, expected above 0`)
    must(
      shape.tolerance > 0 && shape.tolerance < 1,
      `biasShape.tolerance is ${shape.tolerance}, expected between 0 and 1`,
    )
    return
  }
  must(
    Number.isInteger(shape.cells) && shape.cells % 2 === 1 && shape.cells > 0,
    `biasShape.cells is ${shape.cells}, expected an odd whole number: a cell is in the middle`,
  )
  must(
    bias !== 'factored',
    "a window has no low rank: with bias 'factored' use biasShape { type: 'gaussian' }, or bias 'dense'",
  )
}

/** The bias's scale stays within. */
export const SCALE_RANGE = { low: 0.5, high: 5 } as const

/** CMT's fusion models, named as its configurations: 22,384 and 56,400 tokens. */
const CMT = {
  'voxel0100-r50-800x320': { lidar: [128, 128], camera: [20, 50] },
  'voxel0075-vov-1600x640': { lidar: [180, 180], camera: [40, 100] },
} as const

export type CrossModalPreset = keyof typeof CMT

/** A config of CMT's size for nuScenes (arXiv:2301.01283): 6 layers of width 256 with 8 heads, 900 queries, 10 classes, 6 cameras. */
export function crossModalPreset(name: CrossModalPreset, overrides: Partial<CrossModalConfig> = {}): CrossModalConfig {
  const preset = CMT[name]
  if (!preset)
    throw new RangeError(
      `crossModalPreset: there is no preset '${name}' (expected one of ${Object.keys(CMT).join(', ')})`,
    )
  return {
    classes: 10,
    dropout: 0.1,
    lidar: { grid: preset.lidar, channels: 512 },
    cameras: { count: 6, grid: preset.camera, channels: 256 },
    ...overrides,
  }
}
