// Matrix products and the linear layer, with their gradients. Transposes are strides: nothing is copied.

import { record } from '../autograd/node'
import type { Activation } from '../backend'
import type { ComputeDType } from '../dtype'
import { program } from '../program'
import { internally } from '../scope'
import { broadcastShapes, showShape } from '../shape'
import { emptyTensor, type Tensor, viewOf } from '../tensor'
import { checkComputeDType } from './compute-dtype'
import { checkFloat, sharedDevice, sharedDType } from './operands'
import { run } from './run-program'
import { sumTo } from './sum-to'
import { siluSlope } from './unary'

/** A view with the last two axes swapped; off the tape. */
export function transposed(x: Tensor): Tensor {
  const swap = (values: readonly number[]) => [
    ...values.slice(0, -2),
    values[values.length - 1],
    values[values.length - 2],
  ]
  return viewOf(x, swap(x.shape), swap(x.strides))
}

function product(a: Tensor, b: Tensor, computeDtype: ComputeDType): Tensor {
  const batch = broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2))
  const out = emptyTensor(a.device, [...batch, a.shape[a.rank - 2], b.shape[b.rank - 1]], a.dtype)
  a.device.backend.matmul(a, b, out, { computeDtype })
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
  const out = product(a, b, computeDtype)
  const { shape: shapeA } = a
  const { shape: shapeB } = b
  record('matmul', [a, b], [out], [a, b], ([g], { saved, needs }) => {
    if (!g) return []
    return [
      needs[0] ? sumTo(product(g, transposed(saved[1]), computeDtype), shapeA) : undefined,
      needs[1] ? sumTo(product(transposed(saved[0]), g, computeDtype), shapeB) : undefined,
    ]
  })
  return out
}

export interface LinearOptions extends MatmulOptions {
  activation?: Activation
}

const SLOPES = {
  gelu: program('linear gelu gradient', 2, 0, (b, g, x) => b.mul(g, b.geluGrad(x))),
  silu: program('linear silu gradient', 2, 0, (b, g, x) => b.mul(g, siluSlope(b, x))),
  relu: program('linear relu gradient', 2, 0, (b, g, x) => b.select(b.lt(b.constant(0), x), g, b.constant(0))),
}

/** x as one matrix [rows, K] where its strides allow, else as it is: a batch of matrices. */
function asMatrix(x: Tensor): Tensor {
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
  return viewOf(x, [rows, x.shape[last]], [stride ?? x.shape[last], x.strides[last]])
}

/**
 * activation(x · weightᵀ + bias): x [..., K], weight [N, K], bias [N] → [..., N], in one product with its epilogue, as
 * `torch.nn.functional.linear`. x may be a strided view. Throws for a `computeDtype` that the device does not compute.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor, options: LinearOptions = {}): Tensor {
  return internally(() => {
    const inputs = bias ? [x, weight, bias] : [x, weight]
    const device = sharedDevice('linear', inputs)
    const dtype = sharedDType('linear', inputs)
    checkFloat('linear', 'x', x)
    const { activation = 'none', computeDtype = 'f32' } = options
    checkComputeDType('linear', device, computeDtype)
    if (weight.rank !== 2)
      throw new RangeError(`linear: weight has shape ${showShape(weight.shape)} (expected [out, in])`)
    const [n, k] = weight.shape
    if (x.rank < 1 || x.shape[x.rank - 1] !== k) {
      throw new RangeError(
        `linear: x has shape ${showShape(x.shape)} but weight ${showShape(weight.shape)} takes a last axis of ${k}`,
      )
    }
    if (bias && (bias.rank !== 1 || bias.shape[0] !== n)) {
      throw new RangeError(`linear: bias has shape ${showShape(bias.shape)} (expected [${n}])`)
    }
    const shape = [...x.shape.slice(0, -1), n]
    const out = emptyTensor(device, shape, dtype)
    const keepsPre = activation !== 'none' && inputs.some(input => input.requiresGrad)
    const pre = keepsPre ? emptyTensor(device, shape, dtype) : undefined
    const matrix = asMatrix(x)
    const flat = matrix.rank === 2
    const as2d = (t: Tensor) => (flat ? viewOf(t, [matrix.shape[0], n], [n, 1]) : t)
    device.backend.matmul(matrix, transposed(weight), as2d(out), {
      computeDtype,
      bias,
      activation,
      preActivation: pre && as2d(pre),
    })

    record('linear', inputs, [out], pre ? [x, weight, pre] : [x, weight], ([g], { saved, needs }) => {
      if (!g) return []
      const [sx, sw, sPre] = saved
      const dPre = activation === 'none' ? g : run(SLOPES[activation], [g, sPre])
      return linearGradients(sx, sw, dPre, needs, computeDtype)
    })
    return out
  })
}

/** Gradients of x, weight and bias from that of x · weightᵀ + bias. */
function linearGradients(
  x: Tensor,
  weight: Tensor,
  g: Tensor,
  needs: readonly boolean[],
  computeDtype: ComputeDType,
): (Tensor | undefined)[] {
  const { backend } = g.device
  const [n, k] = weight.shape
  const gm = asMatrix(g)
  const xm = asMatrix(x)
  let dx: Tensor | undefined
  if (needs[0]) {
    dx = emptyTensor(g.device, x.shape, g.dtype)
    const flat = gm.rank === 2
    backend.matmul(gm, weight, flat ? viewOf(dx, [gm.shape[0], k], [k, 1]) : dx, { computeDtype })
  }
  let dWeight: Tensor | undefined
  if (needs[1]) {
    if (gm.rank === 2 && xm.rank === 2) dWeight = product(transposed(gm), xm, computeDtype)
    else dWeight = sumTo(product(transposed(g), x, computeDtype), [n, k])
  }
  return [dx, dWeight, needs[2] ? sumTo(g, [n]) : undefined]
}
