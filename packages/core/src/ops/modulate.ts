// The two fused ops a DiT block is made of (adaLN-zero, Peebles & Xie, arXiv:2212.09748): layer norm with a shift and a
// scale from the condition, and a residual gated by it. Both read their part of the packed modulation [B, S, C] in place.

import { record } from '../autograd/node'
import { noticeComposed } from '../notice'
import { program } from '../program'
import { internally } from '../scope'
import { showShape } from '../shape'
import { emptyTensor, type Tensor } from '../tensor'
import { dense } from './layout'
import {
  checkModulation,
  gatedGradients,
  isFree,
  modulationGradient,
  modulationRow,
  modulationView,
  sumTokens,
} from './modulation'
import { SCALED, SCALED_GRADIENT } from './norm'
import { sharedDevice, sharedDType } from './operands'
import { run, runProgram } from './run-program'

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
    const { 0: batch, 1: tokens, 2: channels } = x.shape
    const n = 1 / channels
    let out: Tensor
    let mean: Tensor
    let rstd: Tensor
    if (backend.layerNorm) {
      out = emptyTensor(device, [batch, tokens, channels], dtype)
      mean = emptyTensor(device, [batch, tokens, 1], dtype)
      rstd = emptyTensor(device, [batch, tokens, 1], dtype)
      const shift = modulationRow(modulation, shiftIndex)
      const scale = modulationRow(modulation, scaleIndex)
      backend.layerNorm(x, shift, scale, eps, out, mean, rstd)
    } else {
      noticeComposed(device, 'layerNorm')
      const perRow = { dtype, perRow: true }
      const operands = [x, modulationView(modulation, scaleIndex), modulationView(modulation, shiftIndex)]
      ;[out, mean, rstd] = runProgram(SCALED, operands, [n, eps, 1], [{ dtype }, perRow, perRow])
    }
    const { shape } = modulation
    record(
      'modulatedLayerNorm',
      [x, modulation],
      [out],
      [x, modulation, mean, rstd],
      ({ 0: g }, { saved, needs, take }) => {
        if (!g) return []
        const { 0: sx, 1: sModulation, 2: sMean, 3: sRstd } = saved
        const waiting = backend.layerNormBackward && take(1)
        const { dModulation, accumulate } = needs[1]
          ? modulationGradient(shape, g, waiting)
          : { dModulation: undefined, accumulate: false }
        const dShift = dModulation && modulationRow(dModulation, shiftIndex)
        const dScale = dModulation && modulationRow(dModulation, scaleIndex)
        if (backend.layerNormBackward) {
          // Around a branch x has its gradient from the residual already.
          const residual = take(0)
          const fresh = () => (needs[0] ? emptyTensor(device, sx.shape, dtype) : undefined)
          const dx = residual && isFree(residual) ? residual : fresh()
          const sScale = modulationRow(sModulation, scaleIndex)
          backend.layerNormBackward(sx, sScale, sMean, sRstd, dense(g), dx, dShift, dScale, { residual, accumulate })
          return [dx, dModulation]
        }
        noticeComposed(device, 'layerNormBackward')
        const operands = [g, sx, sMean, sRstd, modulationView(sModulation, scaleIndex)]
        const [dx, scaled] = runProgram(SCALED_GRADIENT, operands, [n, 1], [{ dtype }, { dtype }])
        if (dShift && dScale) {
          sumTokens(g, dShift)
          sumTokens(scaled, dScale)
        }
        return [dx, dModulation]
      },
    )
    return out
  })
}

const GATE = program('gatedResidual', 3, 0, (b, residual, gate, y) => b.fma(gate, y, residual))
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
    const out = run(GATE, [residual, modulationView(modulation, gateIndex), y])
    record('gatedResidual', [residual, modulation, y], [out], [modulation, y], ({ 0: g }, { saved, needs, take }) => {
      if (!g) return []
      const wants = { y: needs[2], modulation: needs[1], bias: false }
      const { dy, dModulation } = gatedGradients(saved[1], saved[0], gateIndex, g, wants, () => take(1))
      return [g, dModulation, dy]
    })
    return out
  })
}
