// Fits two MLPs to a bias by gradient descent, tile by tile, and says how well it went.

import {
  backward,
  detach,
  mul,
  noGrad,
  permutation,
  type RngKey,
  rngKey,
  scope,
  scopeAsync,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  where,
} from '@ditkit/core'
import { AdamW, type StateDict } from '@ditkit/nn'
import { denseBias, shown } from '../factors'
import { biasTensor, maskTensor } from '../mask/bias-shape'
import { allowedPairs } from '../mask/split-bias'
import { surveyBias } from '../mask/survey'
import { type BiasFit, biasFit } from './bias-fit'
import type { NeuralFactors } from './neural-factors'

export interface FitTarget {
  /** Features [B|1, Lq, F] of the queries and [B|1, Lk, G] of the keys. */
  readonly query: Tensor
  readonly key: Tensor
  /** [Lq, Lk] or [B|1, H|1, Lq, Lk]; −Infinity is left out, as what the mask excludes. */
  readonly bias: Tensor
  /** bool, true = may attend, broadcastable to the bias. */
  readonly mask?: Tensor
}

export interface FitOptions {
  /** Stops once this share of the bias's sum of squares is kept; default 0.99. */
  readonly energy?: number
  /** The most steps to take; default 2000. */
  readonly steps?: number
  /** Default 0.01; halved whenever the fit has not become better. */
  readonly lr?: number
  /** Steps between looks at the whole bias; default 50. */
  readonly evaluateEvery?: number
  /** Looks in a row without an improvement (of the residual, by 1 %) after which it stops; default 6. */
  readonly patience?: number
  /** Of the order in which tiles are taken. */
  readonly key?: RngKey
}

/** How well the factors fit, as measured on the whole bias with the weights that are kept: the best there were. */
export interface FitReport extends BiasFit {
  /** Steps taken. */
  readonly steps: number
  /** Why it stopped: the energy is kept, nothing improved any more, or the steps are used up. */
  readonly stopped: 'fitted' | 'stalled' | 'steps'
  /** Every look at the whole bias. */
  readonly history: readonly { readonly step: number; readonly energy: number; readonly lr: number }[]
}

/** Entries of a tile, over all samples and heads: what a step sees. */
const TILE_ENTRIES = 2 ** 20
const TILE_KEYS = 2048

interface Tile {
  readonly rows: readonly [number, number]
  readonly columns: readonly [number, number]
}

/**
 * Fits `model` to a bias, in place, by Adam on the squared error, and leaves it with the best weights there were. A model that was fitted before goes on
 * from there. Nothing of the size of the bias is made beside it, but a mask where it holds −Infinity.
 * @throws RangeError for options out of range, NaN or +Infinity outside the mask, and shapes that do not go together.
 */
export async function fitFactors(
  model: NeuralFactors,
  target: FitTarget,
  options: FitOptions = {},
): Promise<FitReport> {
  const op = 'fitFactors'
  const { energy = 0.99, steps = 2000, lr = 0.01, evaluateEvery = 50, patience = 6, key = rngKey(0) } = options
  checkOptions(op, { energy, steps, lr, evaluateEvery, patience })
  return scopeAsync(async s => {
    const bias = s.run(() => detach(biasTensor(op, target.bias)))
    const mask = target.mask && s.run(() => maskTensor(op, target.mask, bias))
    checkTarget(op, model, target, bias)
    const survey = await surveyBias(op, bias, mask)
    const blocked = survey.blocked.reduce((total, n) => total + n, 0)
    const allowed = blocked > 0 ? s.run(() => allowedPairs(bias, mask)) : undefined
    const meanSquare = survey.squares.reduce((total, x) => total + x, 0) / Math.max(1, bias.size - blocked)
    if (!model.standardized) await model.standardize(target.query, target.key, Math.sqrt(meanSquare))
    const look = () =>
      scopeAsync(async inner => {
        const factors = inner.run(() => noGrad(() => model.forward(target.query, target.key)))
        return biasFit(bias, allowed, survey, factors)
      })
    const tiles = tilesOf(bias)
    const optimizer = s.run(() => new AdamW(model, { weightDecay: 0, maxGradNorm: 1 }))
    const history: { step: number; energy: number; lr: number }[] = []
    let [rate, step, stalls] = [lr, 0, 0]
    let best: { fit: BiasFit; weights: StateDict } | undefined
    let stopped: FitReport['stopped'] | undefined
    try {
      while (!stopped) {
        if (step % evaluateEvery === 0 || step === steps) {
          const fit = await look()
          history.push({ step, energy: fit.energy, lr: rate })
          const improved = !best || fit.residual.relative < 0.99 * best.fit.residual.relative
          if (!best || fit.residual.relative < best.fit.residual.relative)
            best = { fit, weights: await model.stateDict() }
          stalls = improved ? 0 : stalls + 1
          if (!improved) rate /= 2
          if (fit.energy >= energy) stopped = 'fitted'
          else if (stalls >= patience) stopped = 'stalled'
          else if (step === steps) stopped = 'steps'
          if (stopped) break
        }
        const tile = tiles[permutation(key.foldIn(Math.floor(step / tiles.length)), tiles.length)[step % tiles.length]]
        scope(() => backward(tileLoss(model, target, bias, allowed, tile, meanSquare)))
        optimizer.step({ lr: rate })
        optimizer.zeroGrad()
        step++
        await bias.device.ready()
      }
      const { fit, weights } = best as { fit: BiasFit; weights: StateDict }
      await model.loadStateDict(weights)
      return { ...fit, steps: step, stopped: stopped as FitReport['stopped'], history }
    } finally {
      optimizer.dispose()
    }
  })
}

function tilesOf(bias: Tensor): Tile[] {
  const [batch, heads, queries, keys] = bias.shape
  const entries = Math.floor(TILE_ENTRIES / (batch * heads))
  const whole = queries * keys <= entries
  const width = whole ? keys : Math.min(keys, TILE_KEYS)
  const height = whole ? queries : Math.max(1, Math.min(queries, Math.floor(entries / width)))
  const cuts = (tokens: number, size: number) =>
    Array.from({ length: Math.ceil(tokens / size) }, (_, i) => [i * size, Math.min(tokens, (i + 1) * size)] as const)
  return cuts(queries, height).flatMap(rows => cuts(keys, width).map(columns => ({ rows, columns })))
}

/** Mean squared error over a tile, in units of the bias's mean square. */
function tileLoss(
  model: NeuralFactors,
  { query, key }: FitTarget,
  bias: Tensor,
  allowed: Tensor | undefined,
  { rows, columns }: Tile,
  meanSquare: number,
): Tensor {
  const factors = model.forward(slice(query, 1, ...rows), slice(key, 1, ...columns))
  const tile = (x: Tensor) => slice(slice(x, 2, ...rows), 3, ...columns)
  const part = tile(bias)
  const error = sub(denseBias(factors), part)
  const counted = allowed ? where(tile(allowed), error, 0) : error
  return mul(sum(square(counted)), 1 / (part.size * (meanSquare || 1)))
}

function checkOptions(op: string, options: Required<Omit<FitOptions, 'key'>>): void {
  const { energy, lr, ...counts } = options
  if (!(energy > 0 && energy <= 1))
    throw new RangeError(`${op}: energy is ${energy} (expected a share above 0 and up to 1)`)
  if (!(lr > 0)) throw new RangeError(`${op}: lr is ${lr} (expected a number above 0)`)
  for (const [name, n] of Object.entries(counts)) {
    if (!Number.isInteger(n) || n < 1) throw new RangeError(`${op}: ${name} is ${n} (expected a whole number above 0)`)
  }
}

function checkTarget(op: string, model: NeuralFactors, { query, key }: FitTarget, bias: Tensor): void {
  const [batch, heads, queries, keys] = bias.shape
  if (model.rank > Math.max(queries, keys)) {
    throw new RangeError(
      `${op}: the model makes factors of rank ${model.rank}, larger than both sides of a bias of ${queries} × ${keys} (expected at most ${Math.min(queries, keys)})`,
    )
  }
  for (const [name, features, tokens] of [
    ['query', query, queries],
    ['key', key, keys],
  ] as const) {
    const { shape } = features
    if (shape.length !== 3 || shape[1] !== tokens || (shape[0] !== 1 && shape[0] !== batch)) {
      throw new RangeError(
        `${op}: ${name} has shape ${shown(shape)} but the bias ${shown(bias.shape)} (expected [${batch} or 1, ${tokens}, features])`,
      )
    }
  }
  if (model.query.heads !== heads) {
    throw new RangeError(
      `${op}: the bias ${shown(bias.shape)} has ${heads} heads but the model makes factors for ${model.query.heads}`,
    )
  }
}
