// The two fused ops a DiT block is made of (adaLN-zero, Peebles & Xie, arXiv:2212.09748): layer norm with a shift and a
// scale from the condition, and a residual gated by it. Both read their part of the packed modulation [B, S, C] in place.

import { record } from '../autograd/node'
import { bytesPerElement } from '../dtype'
import { noticeComposed } from '../notice'
import { program } from '../program'
import { internally } from '../scope'
import { showShape } from '../shape'
import { emptyTensor, type Tensor, viewOf } from '../tensor'
import { dense } from './layout'
import { SCALED, SCALED_GRADIENT } from './norm'
import { checkFloat, sharedDevice, sharedDType } from './operands'
import { run, runProgram } from './run-program'

/** Row `index` of a packed modulation as a view [B, 1, C]. */
function modulationRow(modulation: Tensor, index: number): Tensor {
  const [batch, , channels] = modulation.shape
  const { strides } = modulation
  const offset = modulation.byteOffset + index * strides[1] * bytesPerElement(modulation.dtype)
  return viewOf(modulation, [batch, 1, channels], strides, offset)
}

function checkModulation(op: string, x: Tensor, modulation: Tensor, indices: readonly number[]): void {
  sharedDevice(op, [x, modulation])
  sharedDType(op, [x, modulation])
  checkFloat(op, 'x', x)
  if (x.rank !== 3) throw new RangeError(`${op}: x has shape ${showShape(x.shape)} (expected [B, N, C])`)
  const [batch, , channels] = x.shape
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

/** A gradient for the whole modulation, 0 outside the rows that the op used. */
function modulationGradient(shape: readonly number[], like: Tensor): Tensor {
  const d = emptyTensor(like.device, shape, like.dtype)
  like.device.backend.fill(d, 0)
  return d
}

/**
 * Layer norm of x [B, N, C] over C without affine parameters, then x̂·(1 + scale) + shift, where shift and scale are rows
 * `shiftIndex` and `scaleIndex` of `modulation` [B, S, C]. eps 1e-6 as in DiT.
 */
export function modulatedLayerNorm(
  x: Tensor,
  modulation: Tensor,
  shiftIndex: number,
  scaleIndex: number,
  eps = 1e-6,
): Tensor {
  return internally(() => {
    checkModulation('modulatedLayerNorm', x, modulation, [shiftIndex, scaleIndex])
    const { dtype, device } = x
    const { backend } = device
    const [batch, tokens, channels] = x.shape
    const n = 1 / channels
    const shift = modulationRow(modulation, shiftIndex)
    const scale = modulationRow(modulation, scaleIndex)
    let out: Tensor
    let mean: Tensor
    let rstd: Tensor
    if (backend.layerNorm) {
      out = emptyTensor(device, [batch, tokens, channels], dtype)
      mean = emptyTensor(device, [batch, tokens, 1], dtype)
      rstd = emptyTensor(device, [batch, tokens, 1], dtype)
      backend.layerNorm(x, shift, scale, eps, out, mean, rstd)
    } else {
      noticeComposed(device, 'layerNorm')
      const perRow = { dtype, perRow: true }
      ;[out, mean, rstd] = runProgram(SCALED, [x, scale, shift], [n, eps, 1], [{ dtype }, perRow, perRow])
    }
    const { shape } = modulation
    record('modulatedLayerNorm', [x, modulation], [out], [x, modulation, mean, rstd], ([g], { saved, needs }) => {
      if (!g) return []
      const [sx, sModulation, sMean, sRstd] = saved
      const sScale = modulationRow(sModulation, scaleIndex)
      const dModulation = needs[1] ? modulationGradient(shape, g) : undefined
      const dShift = dModulation && modulationRow(dModulation, shiftIndex)
      const dScale = dModulation && modulationRow(dModulation, scaleIndex)
      if (backend.layerNormBackward) {
        const dx = needs[0] ? emptyTensor(device, sx.shape, dtype) : undefined
        backend.layerNormBackward(sx, sScale, sMean, sRstd, dense(g), dx, dShift, dScale)
        return [dx, dModulation]
      }
      noticeComposed(device, 'layerNormBackward')
      const [dx, scaled] = runProgram(SCALED_GRADIENT, [g, sx, sMean, sRstd, sScale], [n, 1], [{ dtype }, { dtype }])
      if (dShift && dScale) {
        sumTokens(g, dShift)
        sumTokens(scaled, dScale)
      }
      return [dx, dModulation]
    })
    return out
  })
}

/** Σ over N of [B, N, C] into the row [B, 1, C] of a gradient. */
function sumTokens(x: Tensor, into: Tensor): void {
  const sum = emptyTensor(x.device, into.shape, x.dtype)
  x.device.backend.reduce('sum', x, sum, false)
  x.device.backend.copy(sum, into)
}

const GATE = program('gatedResidual', 3, 0, (b, residual, gate, y) => b.fma(gate, y, residual))
const PRODUCT = program('gatedResidual gradient', 2, 0, (b, g, x) => b.mul(g, x))

/** residual + gate·y for residual and y [B, N, C]; the gate is row `gateIndex` of `modulation` [B, S, C]. */
export function gatedResidual(residual: Tensor, modulation: Tensor, gateIndex: number, y: Tensor): Tensor {
  return internally(() => {
    checkModulation('gatedResidual', residual, modulation, [gateIndex])
    sharedDevice('gatedResidual', [residual, y])
    sharedDType('gatedResidual', [residual, y])
    if (showShape(y.shape) !== showShape(residual.shape)) {
      throw new RangeError(
        `gatedResidual: y has shape ${showShape(y.shape)} (expected the residual's ${showShape(residual.shape)})`,
      )
    }
    const { device, dtype } = residual
    const { backend } = device
    const out = run(GATE, [residual, modulationRow(modulation, gateIndex), y])
    const { shape } = modulation
    record('gatedResidual', [residual, modulation, y], [out], [modulation, y], ([g], { saved, needs }) => {
      if (!g) return []
      const [sModulation, sy] = saved
      const gate = modulationRow(sModulation, gateIndex)
      const dModulation = needs[1] ? modulationGradient(shape, g) : undefined
      const dGate = dModulation && modulationRow(dModulation, gateIndex)
      if (backend.gatedResidualBackward) {
        const dy = needs[2] ? emptyTensor(device, sy.shape, dtype) : undefined
        backend.gatedResidualBackward(dense(sy), gate, dense(g), dy, dGate)
        return [g, dModulation, dy]
      }
      noticeComposed(device, 'gatedResidualBackward')
      if (dGate) sumTokens(run(PRODUCT, [g, sy]), dGate)
      return [g, dModulation, needs[2] ? run(PRODUCT, [g, gate]) : undefined]
    })
    return out
  })
}
