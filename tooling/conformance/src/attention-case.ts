// One attention call as data: sizes and options, from which the same inputs are made on every device.

import {
  type AttentionOptions,
  attention,
  backward,
  type Device,
  hostNormal,
  hostUniform,
  packedAttention,
  packedCrossAttention,
  type RngKey,
  rngKey,
  scopeAsync,
  slice,
  type Tensor,
} from '@ditkit/core'

/** Which axes of [B, H, Lq, Lk] an operand has in full; 'plain' is rank 2, [Lq, Lk], and 'sample' rank 3, [B, Lq, Lk]. */
export type PairForm = 'plain' | 'sample' | readonly [batch: boolean, head: boolean, query: boolean, key: boolean]

export interface AttentionCase {
  readonly seed: number
  readonly batch: number
  readonly queries: number
  readonly keys: number
  readonly heads: number
  readonly dim: number
  readonly valueDim: number
  readonly scale?: number
  readonly keyMask?: 'bool' | 'i32' | 'float' | 'three axes'
  readonly queryMask?: boolean
  /** Drawn, or given. */
  readonly keyLengths?: boolean | readonly number[]
  readonly queryLengths?: boolean | readonly number[]
  /** Tokens of each sample on both sides; `queries` and `keys` are then the totals, which may be more. */
  readonly samples?: { readonly queries: readonly number[]; readonly keys: readonly number[] }
  readonly mask?: PairForm
  readonly bias?: PairForm
  /** A part of the bias is −∞. */
  readonly holes?: boolean
  readonly factors?: { readonly rank: number; readonly perSample: boolean; readonly perHead: boolean }
  readonly causal?: 'top-left' | 'bottom-right'
  readonly dropout?: number
  /** How q, k and v reach the call: apart, as slices of wider tensors, or in packed projections. */
  readonly layout?: 'apart' | 'sliced' | 'qkv' | 'kv'
}

/** Result and gradients by name. */
export type AttentionResult = Map<string, ArrayLike<number>>

/** Numbers to put in place of the drawn ones: what the rules of the contract are tried with. */
export type Tamper = (name: string, values: Float32Array) => void

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1)

/** Draws all inputs of a case; each from a key of its own, so that options do not shift one another. */
class Inputs {
  private readonly key: RngKey
  private readonly rows: number
  private readonly samples: number

  constructor(
    readonly c: AttentionCase,
    private readonly tamper: Tamper = () => {},
  ) {
    this.key = rngKey(c.seed)
    this.rows = c.samples ? 1 : c.batch
    this.samples = c.samples ? c.samples.keys.length : c.batch
  }

  private keyOf(name: string): RngKey {
    return [...name].reduce((key, letter) => key.foldIn(letter.charCodeAt(0)), this.key)
  }

  normal(name: string, shape: readonly number[]): Float32Array {
    const values = Float32Array.from(hostNormal(this.keyOf(name), size(shape)))
    this.tamper(name, values)
    return values
  }

  uniform(name: string, count: number): ArrayLike<number> {
    return hostUniform(this.keyOf(name), count)
  }

  bool(name: string, shape: readonly number[], share: number): Uint8Array {
    return Uint8Array.from(this.uniform(name, size(shape)), u => Number(u < share))
  }

  pairShape(form: PairForm): number[] {
    const { queries, keys, heads } = this.c
    if (form === 'plain') return [queries, keys]
    if (form === 'sample') return [this.rows, queries, keys]
    return [this.rows, heads, queries, keys].map((n, axis) => (form[axis] ? n : 1))
  }

  shapes(): { q: number[]; k: number[]; v: number[]; out: number[] } {
    const { queries, keys, heads, dim, valueDim } = this.c
    return {
      q: [this.rows, queries, heads, dim],
      k: [this.rows, keys, heads, dim],
      v: [this.rows, keys, heads, valueDim],
      out: [this.rows, queries, heads, valueDim],
    }
  }

  keyMask(device: Device): Tensor | undefined {
    const { keyMask, keys } = this.c
    if (!keyMask) return undefined
    const values = this.bool('key mask', [this.rows, keys], 0.7)
    const shape = keyMask === 'three axes' ? [this.rows, 1, keys] : [this.rows, keys]
    if (keyMask === 'i32') return device.tensor(Int32Array.from(values), shape)
    if (keyMask === 'float') return device.tensor(Float32Array.from(values), shape)
    return device.tensor(values, shape)
  }

  lengths(device: Device, name: 'keys' | 'queries'): Tensor | undefined {
    const wanted = name === 'keys' ? this.c.keyLengths : this.c.queryLengths
    if (!wanted) return undefined
    if (wanted !== true) return device.tensor(Int32Array.from(wanted), [this.samples])
    const u = this.uniform(`${name} lengths`, this.samples)
    const most = (s: number) => this.c.samples?.[name][s] ?? this.c[name]
    return device.tensor(
      Int32Array.from({ length: this.samples }, (_, s) => Math.floor(u[s] * (most(s) + 1))),
      [this.samples],
    )
  }

  offsets(device: Device, counts: readonly number[]): Tensor {
    const offsets = [0]
    for (const count of counts) offsets.push(offsets[offsets.length - 1] + count)
    return device.tensor(Int32Array.from(offsets), [offsets.length])
  }

  bias(): { shape: number[]; values: Float32Array } | undefined {
    const { bias, holes } = this.c
    if (!bias) return undefined
    const shape = this.pairShape(bias)
    const values = Float32Array.from(hostNormal(this.keyOf('bias'), size(shape)))
    if (holes) {
      this.bool('holes', shape, 0.3).forEach((hole, i) => {
        if (hole) values[i] = Number.NEGATIVE_INFINITY
      })
    }
    this.tamper('bias', values)
    return { shape, values }
  }

  options(device: Device): { options: AttentionOptions; leaves: Record<string, Tensor> } {
    const { c } = this
    const leaves: Record<string, Tensor> = {}
    const bias = this.bias()
    if (bias) leaves.bias = device.tensor(bias.values, bias.shape, { requiresGrad: true })
    if (c.factors) {
      const { rank, perSample, perHead } = c.factors
      for (const [name, tokens] of [
        ['factorQuery', c.queries],
        ['factorKey', c.keys],
      ] as const) {
        const shape = [perSample ? this.rows : 1, tokens, perHead ? c.heads : 1, rank]
        leaves[name] = device.tensor(this.normal(name, shape), shape, { requiresGrad: true })
      }
    }
    const maskShape = c.mask && this.pairShape(c.mask)
    const options: AttentionOptions = {
      scale: c.scale,
      keyMask: this.keyMask(device),
      queryMask: c.queryMask
        ? device.tensor(this.bool('query mask', [this.rows, c.queries], 0.7), [this.rows, c.queries])
        : undefined,
      keyLengths: this.lengths(device, 'keys'),
      queryLengths: this.lengths(device, 'queries'),
      offsets: c.samples && {
        query: this.offsets(device, c.samples.queries),
        key: this.offsets(device, c.samples.keys),
      },
      mask: maskShape && device.tensor(this.bool('mask', maskShape, 0.6), maskShape),
      bias: leaves.bias,
      factoredBias: c.factors && { query: leaves.factorQuery, key: leaves.factorKey },
      causal: c.causal,
      dropout: c.dropout,
      rng: c.dropout ? this.keyOf('dropout') : undefined,
    }
    return { options, leaves }
  }
}

/** Interleaves parts [B, N, H, D] along a new axis 2. */
function pack(parts: readonly Float32Array[], row: number): Float32Array {
  const packed = new Float32Array(parts.length * parts[0].length)
  parts.forEach((part, p) => {
    for (let i = 0; i < part.length; i++) {
      const n = Math.floor(i / row)
      packed[(n * parts.length + p) * row + (i % row)] = part[i]
    }
  })
  return packed
}

function unpack(packed: ArrayLike<number>, count: number, row: number): Float64Array[] {
  const parts = Array.from({ length: count }, () => new Float64Array(packed.length / count))
  for (let i = 0; i < packed.length; i++) {
    const n = Math.floor(i / row)
    parts[n % count][Math.floor(n / count) * row + (i % row)] = packed[i]
  }
  return parts
}

/** Runs a case forward and backward. */
export async function runCase(
  device: Device,
  c: AttentionCase,
  kernel: string,
  tamper?: Tamper,
): Promise<AttentionResult> {
  const inputs = new Inputs(c, tamper)
  const shapes = inputs.shapes()
  const values = { q: inputs.normal('q', shapes.q), k: inputs.normal('k', shapes.k), v: inputs.normal('v', shapes.v) }
  const gradient = inputs.normal('dOut', shapes.out)
  const row = c.heads * c.dim
  return scopeAsync(async s => {
    const { out, leaves, packed } = s.run(() => {
      const { options: rest, leaves } = inputs.options(device)
      const options = { ...rest, kernel }
      const leaf = (name: string, data: Float32Array, shape: readonly number[]) => {
        leaves[name] = device.tensor(data, [...shape], { requiresGrad: true })
        return leaves[name]
      }
      if (c.layout === 'qkv') {
        const data = pack([values.q, values.k, values.v], row)
        const [b, n] = shapes.q
        const qkv = leaf('qkv', data, [b, n, 3, c.heads, c.dim])
        return { out: packedAttention(qkv, options), leaves, packed: ['q', 'k', 'v'] }
      }
      if (c.layout === 'kv') {
        const [b, n] = shapes.k
        const kv = leaf('kv', pack([values.k, values.v], row), [b, n, 2, c.heads, c.dim])
        return { out: packedCrossAttention(leaf('q', values.q, shapes.q), kv, options), leaves, packed: ['k', 'v'] }
      }
      const [q, k, v] = (['q', 'k', 'v'] as const).map(name =>
        c.layout === 'sliced'
          ? sliced(leaf(name, widen(values[name], shapes[name]), widened(shapes[name])), shapes[name])
          : leaf(name, values[name], shapes[name]),
      )
      return { out: attention(q, k, v, options), leaves, packed: [] }
    })
    s.run(() => backward(out, device.tensor(gradient, shapes.out)))
    const result: AttentionResult = new Map([['out', (await out.data()) as ArrayLike<number>]])
    for (const [name, leaf] of Object.entries(leaves)) {
      const data = (await (leaf.grad as Tensor).data()) as ArrayLike<number>
      if (name === 'qkv' || name === 'kv') {
        unpack(data, packed.length, row).forEach((part, i) => {
          result.set(packed[i], part)
        })
      } else if (c.layout === 'sliced' && (name === 'q' || name === 'k' || name === 'v')) {
        result.set(name, narrow(data, shapes[name]))
      } else result.set(name, data)
    }
    return result
  })
}

/** A tensor of which `x` is a slice in tokens and in head dim: two more tokens, one more column. */
function widened([b, n, h, d]: readonly number[]): number[] {
  return [b, n + 2, h, d + 1]
}

function widen(x: Float32Array, shape: readonly number[]): Float32Array {
  const wide = new Float32Array(size(widened(shape))).fill(Number.NaN)
  for (let i = 0; i < x.length; i++) wide[placeInWide(i, shape)] = x[i]
  return wide
}

/** The part of a widened tensor that `widen` took from x. */
function narrow(wide: ArrayLike<number>, shape: readonly number[]): Float64Array {
  const x = new Float64Array(size(shape))
  for (let i = 0; i < x.length; i++) x[i] = wide[placeInWide(i, shape)]
  return x
}

function placeInWide(i: number, [, n, h, d]: readonly number[]): number {
  const [column, head] = [i % d, Math.floor(i / d) % h]
  const [token, sample] = [Math.floor(i / (d * h)) % n, Math.floor(i / (d * h * n))]
  return ((sample * (n + 2) + token + 1) * h + head) * (d + 1) + column + 1
}

function sliced(x: Tensor, [, n, , d]: readonly number[]): Tensor {
  return slice(slice(x, 1, 1, n + 1), 3, 1, d + 1)
}
