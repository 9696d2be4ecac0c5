// The packed modulation [B, S, C] of adaLN (Peebles & Xie, arXiv:2212.09748), whose rows shift, scale and gate a block's
// activations: its checks, its rows as views, and the gradients of what a row gates.

import type { Operand } from '../backend'
import { bytesPerElement } from '../dtype'
import { noticeComposed } from '../notice'
import { program } from '../program'
import { showShape } from '../shape'
import { emptyTensor, operandOf, type Tensor, viewOf } from '../tensor'
import { dense } from './layout'
import { checkFloat, sharedDevice, sharedDType } from './operands'
import { run } from './run-program'
import { sumTo } from './sum-to'

/** Row `index` of a packed modulation [B, S, C] as [B, 1, C]. */
export function modulationRow(modulation: Tensor, index: number): Operand {
  const { shape, strides, byteOffset, dtype } = modulation
  const offset = byteOffset + index * strides[1] * bytesPerElement(dtype)
  return operandOf(modulation, [shape[0], 1, shape[2]], strides, offset)
}

/** The same as a tensor, for programs. */
export function modulationView(modulation: Tensor, index: number): Tensor {
  const { shape, strides, byteOffset } = modulationRow(modulation, index)
  return viewOf(modulation, shape, strides, byteOffset)
}

export function checkModulation(op: string, x: Tensor, modulation: Tensor, indices: readonly number[]): void {
  sharedDevice(op, [x, modulation])
  sharedDType(op, [x, modulation])
  checkFloat(op, 'x', x)
  if (x.rank !== 3) throw new RangeError(`${op}: x has shape ${showShape(x.shape)} (expected [B, N, C])`)
  const { 0: batch, 2: channels } = x.shape
  if (modulation.rank !== 3 || modulation.shape[0] !== batch || modulation.shape[2] !== channels) {
    throw new RangeError(
      `${op}: modulation has shape ${showShape(modulation.shape)} (expected [${batch}, S, ${channels}] for x ${showShape(x.shape)})`,
    )
  }
  for (const index of indices) {
    if (!Number.isInteger(index) || index < 0 || index >= modulation.shape[1]) {
      throw new RangeError(
        `${op}: index ${index} is not one of the ${modulation.shape[1]} rows of the modulation ${showShape(modulation.shape)}`,
      )
    }
  }
}

/**
 * Memory for the gradient of a whole modulation: `waiting`, to whose rows the op adds its own, or a new one that is 0 where the op leaves it.
 */
export function modulationGradient(
  shape: readonly number[],
  like: Tensor,
  waiting: Tensor | undefined,
): { dModulation: Tensor; accumulate: boolean } {
  if (waiting) return { dModulation: isFree(waiting) ? waiting : like.device.copyOf(waiting), accumulate: true }
  const dModulation = emptyTensor(like.device, shape, like.dtype)
  like.device.backend.fill(dModulation, 0)
  return { dModulation, accumulate: false }
}

/** Row-major memory that nothing else holds: what an op took, it may write into. */
export function isFree(taken: Tensor): boolean {
  return taken.contiguous && !taken.storage.shared
}

/** Σ over N of [B, N, C] into the row [B, 1, C] of a gradient. */
export function sumTokens(x: Tensor, into: Operand): void {
  const sum = emptyTensor(x.device, into.shape, x.dtype)
  x.device.backend.reduce('sum', x, sum, false)
  x.device.backend.copy(sum, into)
}

const PRODUCT = program('gatedResidual gradient', 2, 0, (b, g, x) => b.mul(g, x))

/**
 * Gradients of residual + gate·y from g, that of the result: of y, of a bias [C] added to every row of y, and of the modulation that holds
 * the gate, for which `takeModulation` gives what it has received so far.
 */
export function gatedGradients(
  y: Tensor,
  modulation: Tensor,
  gateIndex: number,
  g: Tensor,
  wants: { y: boolean; modulation: boolean; bias: boolean },
  takeModulation: () => Tensor | undefined,
): { dy: Tensor | undefined; dModulation: Tensor | undefined; dBias: Tensor | undefined } {
  const { device, dtype } = g
  const { backend } = device
  const waiting = backend.gatedResidualBackward && takeModulation()
  const { dModulation, accumulate } = wants.modulation
    ? modulationGradient(modulation.shape, g, waiting)
    : { dModulation: undefined, accumulate: false }
  const dGate = dModulation && modulationRow(dModulation, gateIndex)
  if (backend.gatedResidualBackward) {
    const dy = wants.y ? emptyTensor(device, y.shape, dtype) : undefined
    const dBias = wants.bias ? emptyTensor(device, y.shape.slice(-1), dtype) : undefined
    const gate = modulationRow(modulation, gateIndex)
    backend.gatedResidualBackward(dense(y), gate, dense(g), dy, dGate, dBias, { accumulate })
    return { dy, dModulation, dBias }
  }
  noticeComposed(device, 'gatedResidualBackward')
  if (dGate) sumTokens(run(PRODUCT, [g, y]), dGate)
  const dy = wants.y || wants.bias ? run(PRODUCT, [g, modulationView(modulation, gateIndex)]) : undefined
  return { dy, dModulation, dBias: wants.bias && dy ? sumTo(dy, y.shape.slice(-1)) : undefined }
}
