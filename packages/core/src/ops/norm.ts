// Normalisation over the last axis. Layer norm and RMS norm with optional affine parameters; programs carry both passes.

import { record } from '../autograd/node'
import { type ProgramBuilder, program, type Value } from '../program'
import { internally } from '../scope'
import { showShape } from '../shape'
import type { Tensor } from '../tensor'
import { checkFloat, sharedDevice, sharedDType } from './operands'
import { runProgram } from './run-program'
import { sumTo } from './sum-to'

/** Mean and 1/σ of a row; `n` is 1/C. */
function statistics(b: ProgramBuilder, x: Value, n: Value, eps: Value): { centred: Value; mean: Value; rstd: Value } {
  const mean = b.mul(b.rowSum(x), n)
  const centred = b.sub(x, mean)
  return { centred, mean, rstd: b.rsqrt(b.fma(b.rowSum(b.mul(centred, centred)), n, eps)) }
}

/** Gradient of x from that of x̂ = (x − mean)·rstd. */
function normalisedGradient(b: ProgramBuilder, gHat: Value, xHat: Value, rstd: Value, n: Value): Value {
  const c1 = b.mul(b.rowSum(gHat), n)
  const c2 = b.mul(b.rowSum(b.mul(gHat, xHat)), n)
  return b.mul(rstd, b.sub(b.sub(gHat, c1), b.mul(xHat, c2)))
}

const PLAIN = program('layerNorm', 1, 2, (b, x, n, eps) => {
  const { centred, mean, rstd } = statistics(b, x, n, eps)
  return [b.mul(centred, rstd), mean, rstd]
})
/** out = x̂·(offset + scale) + shift: offset 0 for affine layer norm, 1 for adaLN. */
export const SCALED = program('layerNorm scale shift', 3, 3, (b, x, scale, shift, n, eps, offset) => {
  const { centred, mean, rstd } = statistics(b, x, n, eps)
  return [b.fma(b.mul(centred, rstd), b.add(scale, offset), shift), mean, rstd]
})
const SCALED_ONLY = program('layerNorm scale', 2, 2, (b, x, scale, n, eps) => {
  const { centred, mean, rstd } = statistics(b, x, n, eps)
  return [b.mul(b.mul(centred, rstd), scale), mean, rstd]
})
const PLAIN_GRADIENT = program('layerNorm gradient', 4, 1, (b, g, x, mean, rstd, n) =>
  normalisedGradient(b, g, b.mul(b.sub(x, mean), rstd), rstd, n),
)
/** Gradients of x and, before summing over rows, of the scale. */
export const SCALED_GRADIENT = program('layerNorm scale gradient', 5, 2, (b, g, x, mean, rstd, scale, n, offset) => {
  const xHat = b.mul(b.sub(x, mean), rstd)
  return [normalisedGradient(b, b.mul(g, b.add(scale, offset)), xHat, rstd, n), b.mul(g, xHat)]
})

export interface NormOptions {
  /** [C] */
  weight?: Tensor
  /** [C]; needs a weight. */
  bias?: Tensor
  /** Added to the variance (the mean square of `rmsNorm`). Default: 1e-5 for `layerNorm`, as PyTorch's, and 1e-6 for `rmsNorm`. */
  eps?: number
}

function checkAffine(op: string, x: Tensor, options: NormOptions): Tensor[] {
  checkFloat(op, 'x', x)
  const inputs = [x, options.weight, options.bias].filter(t => t !== undefined)
  sharedDevice(op, inputs)
  sharedDType(op, inputs)
  const channels = x.shape[x.rank - 1]
  if (x.rank < 1 || channels === 0)
    throw new RangeError(`${op}: x has shape ${showShape(x.shape)} (expected a last axis of at least one channel)`)
  for (const name of ['weight', 'bias'] as const) {
    const t = options[name]
    if (t && (t.rank !== 1 || t.shape[0] !== channels)) {
      throw new RangeError(`${op}: ${name} has shape ${showShape(t.shape)} (expected [${channels}])`)
    }
  }
  if (options.bias && !options.weight) throw new TypeError(`${op}: a bias needs a weight`)
  return inputs
}

/** (x − mean)/√(variance + eps) over the last axis, times weight plus bias where given; x [..., C] (any strides). */
export function layerNorm(x: Tensor, options: NormOptions = {}): Tensor {
  return internally(() => layerNormOf(x, options))
}

function layerNormOf(x: Tensor, options: NormOptions): Tensor {
  const inputs = checkAffine('layerNorm', x, options)
  const { weight, bias, eps = 1e-5 } = options
  const n = 1 / x.shape[x.rank - 1]
  const { dtype } = x
  const outputs = [{ dtype }, { dtype, perRow: true }, { dtype, perRow: true }]
  const [out, mean, rstd] = !weight
    ? runProgram(PLAIN, [x], [n, eps], outputs)
    : bias
      ? runProgram(SCALED, [x, weight, bias], [n, eps, 0], outputs)
      : runProgram(SCALED_ONLY, [x, weight], [n, eps], outputs)
  record(
    'layerNorm',
    inputs,
    [out],
    weight ? [x, mean, rstd, weight] : [x, mean, rstd],
    ({ 0: g }, { saved, needs }) => {
      if (!g) return []
      const [sx, sMean, sRstd, sWeight] = saved
      if (!sWeight) return [runProgram(PLAIN_GRADIENT, [g, sx, sMean, sRstd], [n], [{ dtype }])[0]]
      const [dx, dScale] = runProgram(SCALED_GRADIENT, [g, sx, sMean, sRstd, sWeight], [n, 0], [{ dtype }, { dtype }])
      return [dx, needs[1] ? sumTo(dScale, sWeight.shape) : undefined, needs[2] ? sumTo(g, sWeight.shape) : undefined]
    },
  )
  return out
}

const RMS = program('rmsNorm', 1, 2, (b, x, n, eps) => {
  const rstd = b.rsqrt(b.fma(b.rowSum(b.mul(x, x)), n, eps))
  return [b.mul(x, rstd), rstd]
})
const RMS_SCALED = program('rmsNorm scale', 2, 2, (b, x, scale, n, eps) => {
  const rstd = b.rsqrt(b.fma(b.rowSum(b.mul(x, x)), n, eps))
  return [b.mul(b.mul(x, rstd), scale), rstd]
})

function rmsGradient(b: ProgramBuilder, gHat: Value, x: Value, rstd: Value, n: Value): Value {
  const xHat = b.mul(x, rstd)
  return b.mul(rstd, b.sub(gHat, b.mul(xHat, b.mul(b.rowSum(b.mul(gHat, xHat)), n))))
}
const RMS_GRADIENT = program('rmsNorm gradient', 3, 1, rmsGradient)
const RMS_SCALED_GRADIENT = program('rmsNorm scale gradient', 4, 1, (b, g, x, rstd, scale, n) => [
  rmsGradient(b, b.mul(g, scale), x, rstd, n),
  b.mul(g, b.mul(x, rstd)),
])

/** x/√(mean(x²) + eps) over the last axis, times weight where given (Zhang & Sennrich, arXiv:1910.07467); x [..., C]. */
export function rmsNorm(x: Tensor, options: Omit<NormOptions, 'bias'> = {}): Tensor {
  return internally(() => rmsNormOf(x, options))
}

function rmsNormOf(x: Tensor, options: Omit<NormOptions, 'bias'>): Tensor {
  const inputs = checkAffine('rmsNorm', x, options)
  const { weight, eps = 1e-6 } = options
  const n = 1 / x.shape[x.rank - 1]
  const { dtype } = x
  const outputs = [{ dtype }, { dtype, perRow: true }]
  const [out, rstd] = weight
    ? runProgram(RMS_SCALED, [x, weight], [n, eps], outputs)
    : runProgram(RMS, [x], [n, eps], outputs)
  record('rmsNorm', inputs, [out], weight ? [x, rstd, weight] : [x, rstd], ({ 0: g }, { saved, needs }) => {
    if (!g) return []
    const [sx, sRstd, sWeight] = saved
    if (!sWeight) return runProgram(RMS_GRADIENT, [g, sx, sRstd], [n])
    const [dx, dScale] = runProgram(RMS_SCALED_GRADIENT, [g, sx, sRstd, sWeight], [n], [{ dtype }, { dtype }])
    return [dx, needs[1] ? sumTo(dScale, sWeight.shape) : undefined]
  })
  return out
}
