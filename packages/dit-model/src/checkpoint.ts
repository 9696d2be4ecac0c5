// Weights of facebookresearch/DiT: finding them in what its training code saves, and reading a model's config off them.

import type { StateSource, TensorSource } from '@ditkit/nn'
import type { DiTConfig } from './dit'

/**
 * The state dict in a loaded checkpoint: the tree itself when it is one (an object or Map of tensors by name), else its
 * `ema` or `model` entry, as facebookresearch/DiT's train.py writes them.
 * @throws Error when there is neither.
 */
export function pickDiTWeights(tree: unknown, options: { prefer?: 'ema' | 'model' } = {}): Map<string, TensorSource> {
  const { prefer = 'ema' } = options
  const entries = entriesOf(tree)
  const candidates = [entries, ...[prefer, 'ema', 'model'].map(name => entriesOf(entries?.get(name)))]
  const found = candidates.find(candidate => candidate && isTensor(candidate.get('x_embedder.proj.weight')))
  if (!found) {
    const has = entries ? `its entries are ${[...entries.keys()].slice(0, 8).join(', ')}` : `it is ${typeof tree}`
    throw new Error(
      `pickDiTWeights: no DiT weights in the checkpoint (expected x_embedder.proj.weight, or ema or model holding it); ${has}`,
    )
  }
  return new Map([...found].filter((entry): entry is [string, TensorSource] => isTensor(entry[1])))
}

/** What the shapes of weights leave open. */
export interface InferOptions {
  /** In no shape. Default: 64 channels a head, or 72 for a hidden size of 1152, as in the presets. */
  numHeads?: number
  /** [height, width] of the input. Default: a square. */
  inputSize?: readonly [number, number]
}

/**
 * The config that a state dict's shapes imply. A label table is taken to end with a null class, as DiT's do.
 * @throws Error naming what is missing or open.
 */
export function inferDiTConfig(source: StateSource, options: InferOptions = {}): DiTConfig {
  const weights: ReadonlyMap<string, TensorSource> = source instanceof Map ? source : new Map(Object.entries(source))
  const shapeOf = (name: string) => {
    const weight = weights.get(name)
    if (!weight) throw new Error(`inferDiTConfig: ${name} is missing; these are not the weights of a DiT`)
    return weight.shape
  }
  const [hiddenSize, inChannels, patchSize] = shapeOf('x_embedder.proj.weight')
  const depth = [...weights.keys()].filter(name => /^blocks\.\d+\.attn\.qkv\.weight$/.test(name)).length
  const outChannels = shapeOf('final_layer.linear.weight')[0] / patchSize ** 2
  const numHeads = options.numHeads ?? hiddenSize / (hiddenSize === 1152 ? 72 : 64)
  if (!Number.isInteger(numHeads))
    throw new Error(`inferDiTConfig: hidden size ${hiddenSize} leaves the number of heads open; give { numHeads }`)
  const table = weights.get('y_embedder.embedding_table.weight')?.shape
  return {
    inputSize: options.inputSize ?? squareSide(shapeOf('pos_embed')[1], patchSize),
    patchSize,
    inChannels,
    hiddenSize,
    depth,
    numHeads,
    mlpRatio: shapeOf('blocks.0.mlp.fc1.weight')[0] / hiddenSize,
    numClasses: table ? table[0] - 1 : 0,
    learnSigma: outChannels === 2 * inChannels,
  }
}

function squareSide(tokens: number, patchSize: number): number {
  const side = Math.sqrt(tokens)
  if (!Number.isInteger(side))
    throw new Error(`inferDiTConfig: ${tokens} tokens are not a square grid; give { inputSize: [height, width] }`)
  return side * patchSize
}

function entriesOf(value: unknown): Map<string, unknown> | undefined {
  if (value instanceof Map) return value as Map<string, unknown>
  if (value === null || typeof value !== 'object' || isTensor(value)) return undefined
  return new Map(Object.entries(value))
}

function isTensor(value: unknown): value is TensorSource {
  return (
    value !== null &&
    typeof value === 'object' &&
    Array.isArray((value as TensorSource).shape) &&
    ('data' in value || 'read' in value)
  )
}
