// Writes into existing tensors: weights loaded, averages swapped in, optimizer steps. They bump the storage's version, so that
// a backward pass that still needs the old values says so. Not recorded.

import type { AdamWTensors } from '../backend'
import { bytesPerElement } from '../dtype'
import { noticeComposed } from '../notice'
import { type Program, program } from '../program'
import { internally } from '../scope'
import { sameShape, showShape } from '../shape'
import type { Tensor } from '../tensor'
import { concat, reshape, split } from './layout'
import { checkDType, sharedDevice } from './operands'
import { run, runProgram } from './run-program'

/** Copies `source` into `target`'s memory: shapes equal, dtypes converted. */
export function assign(target: Tensor, source: Tensor): void {
  const device = sharedDevice('assign', [target, source])
  if (!sameShape(target.shape, source.shape)) {
    throw new RangeError(`assign: target has shape ${showShape(target.shape)} but source ${showShape(source.shape)}`)
  }
  if (!target.contiguous || target.size * bytesPerElement(target.dtype) !== target.storage.bytes) {
    throw new RangeError(
      `assign: target of shape ${showShape(target.shape)} is a view of a part of a tensor, and such views are read-only; assign to the whole tensor`,
    )
  }
  device.backend.copy(source, target)
  target.storage.version++
}

/** One parameter of an AdamW step, with its state. All have the parameter's shape and are row-major. */
export interface AdamWParameter {
  readonly parameter: Tensor
  readonly gradient: Tensor
  readonly firstMoment: Tensor
  readonly secondMoment: Tensor
  /** Exponential moving average, updated in the same pass. */
  readonly average?: Tensor
  /** Factor on the weight decay (0 = none) and on the learning rate; default 1. */
  readonly decayScale?: number
  readonly lrScale?: number
}

/** The numbers of one step, as they go into the device-resident block: learning rate, betas, eps, decay, bias corrections, EMA decay. */
export interface AdamWScalars {
  readonly lr: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
  /** Counts from 1. */
  readonly step: number
  readonly emaDecay: number
  /** Clip the global gradient norm to this; 0 = no clipping. */
  readonly maxNorm: number
}

/**
 * One AdamW step (Loshchilov & Hutter, arXiv:1711.05101; PyTorch's arithmetic) over all parameters, with clipping by global norm
 * (coefficient min(1, maxNorm/(norm + 1e-6))) and EMA, in one pass where the device has it. Returns f32 [2]: the norm before
 * clipping, and 1, or 0 when the norm was not finite: then nothing was changed.
 */
export function adamwStep(parameters: readonly AdamWParameter[], scalars: AdamWScalars): Tensor {
  if (parameters.length === 0) throw new RangeError('adamwStep: no parameters')
  const device = sharedDevice('adamwStep', [parameters[0].parameter])
  for (const { parameter, gradient, firstMoment, secondMoment, average } of parameters) {
    if (parameter.device !== device) sharedDevice('adamwStep', [parameters[0].parameter, parameter])
    checkOperand('parameter', parameter, parameter)
    checkOperand('gradient', gradient, parameter)
    checkOperand('firstMoment', firstMoment, parameter)
    checkOperand('secondMoment', secondMoment, parameter)
    if (average) checkOperand('average', average, parameter)
  }
  const { lr, beta1, beta2, eps, weightDecay, step, emaDecay, maxNorm } = scalars
  const values = [lr, beta1, beta2, eps, weightDecay, 1 - beta1 ** step, 1 - beta2 ** step, emaDecay]
  const norm = internally(() => {
    const block = device.tensor(values, [8])
    return device.backend.adamw ? fused(parameters, block, maxNorm) : composed(parameters, block, maxNorm)
  })
  for (const { parameter, firstMoment, secondMoment, average } of parameters) {
    parameter.storage.version++
    firstMoment.storage.version++
    secondMoment.storage.version++
    if (average) average.storage.version++
  }
  return norm
}

function checkOperand(name: string, tensor: Tensor, parameter: Tensor): void {
  checkDType('adamwStep', name, tensor, parameter.dtype)
  if (tensor.device !== parameter.device) sharedDevice('adamwStep', [parameter, tensor])
  if (sameShape(tensor.shape, parameter.shape) && tensor.contiguous) return
  throw new RangeError(
    `adamwStep: ${name} of ${parameter.name ?? 'a parameter'} has shape ${showShape(tensor.shape)} ` +
      `(expected ${showShape(parameter.shape)}, row-major)`,
  )
}

function fused(parameters: readonly AdamWParameter[], block: Tensor, maxNorm: number): Tensor {
  const { device } = block
  const norm = device.empty([2])
  // Not by spreading, which is many times slower: this runs once per weight and step.
  const list: AdamWTensors[] = parameters.map(
    ({ parameter, gradient, firstMoment, secondMoment, average, decayScale = 1, lrScale = 1 }) => {
      return { parameter, gradient, firstMoment, secondMoment, average, decayScale, lrScale }
    },
  )
  device.backend.adamw?.(list, block, maxNorm, norm)
  return norm
}

const SQUARE = program('adamw square', 1, 0, (b, g) => b.mul(g, g))
/** [norm, ok, coefficient] from the summed squares. */
const NORM = program('adamw norm', 1, 1, (b, sum, maxNorm) => {
  const norm = b.sqrt(sum)
  const coefficient = b.min(b.constant(1), b.div(maxNorm, b.add(norm, b.constant(1e-6))))
  return [norm, b.isFinite(norm), b.select(b.lt(b.constant(0), maxNorm), coefficient, b.constant(1))]
})
/** (ok, old value, new value): keeps the old one when the step is skipped. */
const MOMENT = program('adamw first moment', 5, 0, (b, m, g, beta, coefficient, ok) =>
  b.select(ok, b.fma(b.sub(b.constant(1), beta), b.mul(g, coefficient), b.mul(beta, m)), m),
)
const SECOND = program('adamw second moment', 5, 0, (b, v, g, beta, coefficient, ok) => {
  const clipped = b.mul(g, coefficient)
  return b.select(ok, b.fma(b.sub(b.constant(1), beta), b.mul(clipped, clipped), b.mul(beta, v)), v)
})
/** Per-parameter factors of the update: decay 1 − lr·wd, and lr/(1 − beta1^t). */
const FACTORS = program('adamw factors', 3, 2, (b, lr, decay, correction, lrScale, decayScale) => {
  const rate = b.mul(lr, lrScale)
  return [b.sub(b.constant(1), b.mul(rate, b.mul(decay, decayScale))), b.div(rate, correction)]
})
const UPDATE = program('adamw update', 8, 0, (b, p, m, v, shrink, rate, correction2, eps, ok) => {
  const denominator = b.add(b.div(b.sqrt(v), b.sqrt(correction2)), eps)
  return b.select(ok, b.sub(b.mul(p, shrink), b.mul(rate, b.div(m, denominator))), p)
})
const AVERAGE = program('adamw average', 4, 0, (b, average, p, decay, ok) =>
  b.select(ok, b.fma(b.sub(b.constant(1), decay), p, b.mul(decay, average)), average),
)

const SUM = program('adamw sum', 2, 0, (b, x, y) => b.add(x, y))

/** The same from elementwise programs, for devices without the fused pass. */
function composed(parameters: readonly AdamWParameter[], block: Tensor, maxNorm: number): Tensor {
  const { device } = block
  const { backend } = device
  noticeComposed(device, 'adamw')
  const [lr, beta1, beta2, eps, decay, correction1, correction2, emaDecay] = split(block, 8, 0)
  const update = (body: Program, shape: readonly number[], inputs: readonly Tensor[]) =>
    backend.elementwise(body, shape, inputs, body.constants, [inputs[0]])
  const total = device.zeros([1])
  for (const { gradient } of parameters) {
    const squared = reshape(run(SQUARE, [gradient]), [gradient.size])
    const partial = device.empty([1])
    backend.reduce('sum', squared, partial, false)
    update(SUM, [1], [total, partial])
  }
  const [norm, ok, coefficient] = runProgram(NORM, [total], [maxNorm])
  for (const p of parameters) {
    const { parameter, gradient, firstMoment: m, secondMoment: v, average } = p
    const { shape } = parameter
    const [shrink, rate] = runProgram(FACTORS, [lr, decay, correction1], [p.lrScale ?? 1, p.decayScale ?? 1])
    update(MOMENT, shape, [m, gradient, beta1, coefficient, ok])
    update(SECOND, shape, [v, gradient, beta2, coefficient, ok])
    update(UPDATE, shape, [parameter, m, v, shrink, rate, correction2, eps, ok])
    if (average) update(AVERAGE, shape, [average, parameter, emaDecay, ok])
  }
  return concat([norm, ok], 0)
}
