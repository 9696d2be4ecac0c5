// Matrix products and the linear layer, with their gradients. Transposes are strides: nothing is copied.

import { record, shouldRecord } from '../autograd/node'
import type { Activation, Operand } from '../backend'
import type { Device } from '../device'
import type { ComputeDType } from '../dtype'
import { program } from '../program'
import { internally } from '../scope'
import { broadcastShapes, type Shape, sameShape, showShape } from '../shape'
import { emptyTensor, operandOf, type Tensor, viewOf } from '../tensor'
import { checkComputeDType } from './compute-dtype'
import { checkModulation, gatedGradients, modulationRow } from './modulation'
import { checkFloat, sharedDevice, sharedDType } from './operands'
import { run } from './run-program'
import { sumTo } from './sum-to'

/** A view with the last two axes swapped; off the tape. */
export function transposed(x: Tensor): Tensor {
  return viewOf(x, swapped(x.shape), swapped(x.strides))
}

/** The same for one call of the backend. */
function transposedOperand({ storage, byteOffset, shape, strides, dtype }: Operand): Operand {
  return { storage, byteOffset, shape: swapped(shape), strides: swapped(strides), dtype }
}

function swapped(values: Shape): Shape {
  const last = values.length - 1
  return last === 1 ? [values[1], values[0]] : [...values.slice(0, -2), values[last], values[last - 1]]
}

function product(device: Device, a: Operand, b: Operand, computeDtype: ComputeDType): Tensor {
  const matrix = [a.shape[a.shape.length - 2], b.shape[b.shape.length - 1]]
  const flat = a.shape.length === 2 && b.shape.length === 2
  const batch = flat ? [] : broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2))
  const out = emptyTensor(device, flat ? matrix : [...batch, ...matrix], a.dtype)
  device.backend.matmul(a, b, out, { computeDtype })
  return out
}

export interface MatmulOptions {
  /** What both operands are rounded to, here and in the products of the gradients. Default 'f32': as they are. */
  computeDtype?: ComputeDType
}

/** a [..., M, K] · b [..., K, N] → [..., M, N]; batch axes broadcast. Throws for a `computeDtype` that the device does not compute. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { computeDtype = 'f32' } = options
  sharedDevice('matmul', [a, b])
  sharedDType('matmul', [a, b])
  checkFloat('matmul', 'a', a)
  checkComputeDType('matmul', a.device, computeDtype)
  if (a.rank < 2 || b.rank < 2 || a.shape[a.rank - 1] !== b.shape[b.rank - 2]) {
    throw new RangeError(
      `matmul: shapes ${showShape(a.shape)} and ${showShape(b.shape)} do not multiply (expected [..., M, K] and [..., K, N])`,
    )
  }
  const { device } = a
  const out = product(device, a, b, computeDtype)
  const { shape: shapeA } = a
  const { shape: shapeB } = b
  record('matmul', [a, b], [out], [a, b], ({ 0: g }, { saved, needs }) => {
    if (!g) return []
    return [
      needs[0] ? sumTo(product(device, g, transposedOperand(saved[1]), computeDtype), shapeA) : undefined,
      needs[1] ? sumTo(product(device, transposedOperand(saved[0]), g, computeDtype), shapeB) : undefined,
    ]
  })
  return out
}

/** Where a branch ends: residual + gate·y instead of y, as `gatedResidual`, in the same product. */
export interface GatedInto {
  /** [B, N, C] */
  readonly residual: Tensor
  /** [B, S, C]; its row `gateIndex` is the gate. */
  readonly modulation: Tensor
  readonly gateIndex: number
}

export interface LinearOptions extends MatmulOptions {
  activation?: Activation
  /** Not together with an activation. */
  into?: GatedInto
}

const SLOPED = program('linear activation gradient', 2, 0, (b, g, slope) => b.mul(g, slope))

/** x as one matrix [rows, K] where its strides allow, else as it is: a batch of matrices. */
function asMatrix(x: Tensor): Operand {
  const last = x.rank - 1
  let rows = 1
  let stride: number | undefined
  for (let axis = last - 1; axis >= 0; axis--) {
    // An axis of size 1 may have any stride, so it says nothing about those before and behind it.
    if (x.shape[axis] === 1) continue
    stride ??= x.strides[axis]
    if (x.strides[axis] !== stride * rows) return x
    rows *= x.shape[axis]
  }
  return operandOf(x, [rows, x.shape[last]], [stride ?? x.shape[last], x.strides[last]])
}

/**
 * activation(x · weightᵀ + bias): x [..., K], weight [N, K], bias [N] → [..., N], in one product with its epilogue, as
 * `torch.nn.functional.linear`. x may be a strided view. With `into`: residual + gate·(x · weightᵀ + bias), for x [B, M, K].
 * Throws for a `computeDtype` that the device does not compute.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor, options: LinearOptions = {}): Tensor {
  return internally(() => {
    const { activation = 'none', into, computeDtype = 'f32' } = options
    if (into && activation !== 'none')
      throw new TypeError(`linear: got activation '${activation}' and into (expected at most one of them)`)
    checkLinear('linear', x, weight, bias, computeDtype)
    const inputs = [x, weight, bias, into?.residual, into?.modulation]
    const keeps = shouldRecord(inputs)
    if (!into) {
      const { out, slope } = activated(x, weight, bias, { activation, computeDtype, keeps })
      record('linear', inputs, [out], slope ? [x, weight, slope] : [x, weight], ({ 0: g }, { saved, needs }) => {
        if (!g) return []
        const { 0: sx, 1: sw, 2: sSlope } = saved
        return linearGradients(sx, sw, sSlope ? run(SLOPED, [g, sSlope]) : g, needs, { computeDtype })
      })
      return out
    }
    const { out, y } = gated('linear', x, weight, bias, into, { computeDtype, keeps })
    const saved = y ? [x, weight, into.modulation, y] : []
    const { gateIndex } = into
    record('linear', inputs, [out], saved, ({ 0: g }, context) => {
      if (!g) return []
      const { needs, take } = context
      const { 0: sx, 1: sw, 2: sModulation, 3: sy } = context.saved
      const wants = { y: needs[0] || needs[1], bias: needs[2], modulation: needs[4] }
      const { dy, dBias, dModulation } = gatedGradients(sy, sModulation, gateIndex, g, wants, () => take(4))
      const layer = dy ? linearGradients(sx, sw, dy, [needs[0], needs[1], false], { computeDtype }) : NO_GRADIENTS
      return [layer[0], layer[1], dBias, g, dModulation]
    })
    return out
  })
}

/** Throws, naming `op`, unless the operands make a linear layer that the device computes. */
export function checkLinear(
  op: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  computeDtype: ComputeDType,
): void {
  const operands = bias ? [x, weight, bias] : [x, weight]
  sharedDevice(op, operands)
  sharedDType(op, operands)
  checkFloat(op, 'x', x)
  checkComputeDType(op, x.device, computeDtype)
  if (weight.rank !== 2) throw new RangeError(`${op}: weight has shape ${showShape(weight.shape)} (expected [out, in])`)
  const { 0: n, 1: k } = weight.shape
  if (x.rank < 1 || x.shape[x.rank - 1] !== k) {
    throw new RangeError(
      `${op}: x has shape ${showShape(x.shape)} but weight ${showShape(weight.shape)} takes a last axis of ${k}`,
    )
  }
  if (bias && (bias.rank !== 1 || bias.shape[0] !== n)) {
    throw new RangeError(`${op}: bias has shape ${showShape(bias.shape)} (expected [${n}])`)
  }
}

/** activation(x · weightᵀ + bias), and the slope of the activation there when it is kept for the gradient. Not recorded. */
export function activated(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: { activation: Activation; computeDtype: ComputeDType; keeps: boolean },
): { out: Tensor; slope: Tensor | undefined } {
  const { activation, computeDtype, keeps } = options
  const n = weight.shape[0]
  const shape = [...x.shape.slice(0, -1), n]
  const out = emptyTensor(x.device, shape, x.dtype)
  const slope = keeps && activation !== 'none' ? emptyTensor(x.device, shape, x.dtype) : undefined
  const matrix = asMatrix(x)
  const flat = matrix.shape.length === 2
  const like = (t: Tensor) => (flat ? operandOf(t, [matrix.shape[0], n], [n, 1]) : t)
  x.device.backend.matmul(matrix, transposedOperand(weight), like(out), {
    computeDtype,
    bias,
    activation,
    slope: slope && like(slope),
  })
  return { out, slope }
}

/** residual + gate·y for y = x · weightᵀ + bias, and y when it is kept for the gradient. Not recorded. */
export function gated(
  op: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  into: GatedInto,
  options: { computeDtype: ComputeDType; keeps: boolean },
): { out: Tensor; y: Tensor | undefined } {
  const { residual, modulation, gateIndex } = into
  checkModulation(op, residual, modulation, [gateIndex])
  sharedDevice(op, [x, residual])
  sharedDType(op, [x, residual])
  const shape = [...x.shape.slice(0, -1), weight.shape[0]]
  if (!sameShape(residual.shape, shape)) {
    throw new RangeError(
      `${op}: residual has shape ${showShape(residual.shape)} but the layer gives ${showShape(shape)} (expected equal)`,
    )
  }
  const out = emptyTensor(x.device, shape, x.dtype)
  const y = options.keeps ? emptyTensor(x.device, shape, x.dtype) : undefined
  const gate = modulationRow(modulation, gateIndex)
  const { computeDtype } = options
  x.device.backend.matmul(x, transposedOperand(weight), out, { computeDtype, bias, preActivation: y, gate, residual })
  return { out, y }
}

/** What a layer passes on whose output got no gradient. */
export const NO_GRADIENTS: readonly (Tensor | undefined)[] = []

/** Gradients of x, weight and bias from that of x · weightᵀ + bias. That of x is multiplied by `slope`, where given. */
export function linearGradients(
  x: Tensor,
  weight: Tensor,
  g: Tensor,
  needs: readonly boolean[],
  options: { computeDtype: ComputeDType; slope?: Tensor },
): readonly (Tensor | undefined)[] {
  const { computeDtype, slope } = options
  const { device } = g
  const { 0: n, 1: k } = weight.shape
  const gm = asMatrix(g)
  const xm = asMatrix(x)
  const flat = gm.shape.length === 2
  let dx: Tensor | undefined
  if (needs[0]) {
    dx = emptyTensor(device, x.shape, g.dtype)
    const like = (t: Tensor) => (flat ? operandOf(t, [gm.shape[0], k], [k, 1]) : t)
    device.backend.matmul(gm, weight, like(dx), { computeDtype, gate: slope && like(slope) })
  }
  let dWeight: Tensor | undefined
  if (needs[1]) {
    if (flat && xm.shape.length === 2) dWeight = product(device, transposedOperand(gm), xm, computeDtype)
    else dWeight = sumTo(product(device, transposedOperand(g), x, computeDtype), [n, k])
  }
  return [dx, dWeight, needs[2] ? sumTo(g, [n]) : undefined]
}
