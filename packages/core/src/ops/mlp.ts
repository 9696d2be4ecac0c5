// The feed-forward part of a transformer block as one op, so that nothing of its width is read only to be multiplied.

import { record, shouldRecord } from '../autograd/node'
import type { Activation } from '../backend'
import { internally } from '../scope'
import { showShape } from '../shape'
import type { Tensor } from '../tensor'
import {
  activated,
  checkLinear,
  type GatedInto,
  gated,
  linearGradients,
  type MatmulOptions,
  NO_GRADIENTS,
} from './matmul'
import { gatedGradients } from './modulation'

export interface MLPLayer {
  /** [out, in] */
  readonly weight: Tensor
  /** [out] */
  readonly bias?: Tensor
}

export interface MLPOptions extends MatmulOptions {
  /** Default `gelu`, the tanh approximation. */
  activation?: Activation
  into?: GatedInto
}

/**
 * fc2(activation(fc1(x))) for x [..., C], as two `linear`s. The slope of the activation is kept instead of its input, and multiplies the
 * gradient in the product that makes it. With `into`: residual + gate·y of that y, for x [B, N, C].
 */
export function mlp(x: Tensor, fc1: MLPLayer, fc2: MLPLayer, options: MLPOptions = {}): Tensor {
  return internally(() => {
    const { activation = 'gelu', into, computeDtype = 'f32' } = options
    checkLinear('mlp (fc1)', x, fc1.weight, fc1.bias, computeDtype)
    const hidden = fc1.weight.shape[0]
    if (fc2.weight.rank !== 2 || fc2.weight.shape[1] !== hidden) {
      throw new RangeError(
        `mlp: the weight of fc2 has shape ${showShape(fc2.weight.shape)} (expected [out, ${hidden}], as fc1 gives ${hidden})`,
      )
    }
    const inputs = [x, fc1.weight, fc1.bias, fc2.weight, fc2.bias, into?.residual, into?.modulation]
    const keeps = shouldRecord(inputs)
    const { out: h, slope } = activated(x, fc1.weight, fc1.bias, { activation, computeDtype, keeps })
    checkLinear('mlp (fc2)', h, fc2.weight, fc2.bias, computeDtype)
    const { out, y } = into
      ? gated('mlp', h, fc2.weight, fc2.bias, into, { computeDtype, keeps })
      : { out: activated(h, fc2.weight, fc2.bias, { activation: 'none', computeDtype, keeps }).out, y: undefined }
    const saved = [x, fc1.weight, h, fc2.weight, ...(slope ? [slope] : []), ...(into && y ? [into.modulation, y] : [])]
    const sloped = slope !== undefined
    const gateIndex = into?.gateIndex
    record('mlp', inputs, [out], keeps ? saved : [], ({ 0: g }, context) => {
      if (!g) return []
      const { needs, take } = context
      const { 0: sx, 1: w1, 2: sh, 3: w2 } = context.saved
      const sSlope = sloped ? context.saved[4] : undefined
      const needsFirst = needs[0] || needs[1] || needs[2]
      const second = (dy: Tensor, bias: boolean) =>
        linearGradients(sh, w2, dy, [needsFirst, needs[3], bias], { computeDtype, slope: sSlope })
      const first = (dh: Tensor | undefined) =>
        dh ? linearGradients(sx, w1, dh, needs, { computeDtype }) : NO_GRADIENTS
      if (gateIndex === undefined) {
        const layer2 = second(g, needs[4])
        const layer1 = first(layer2[0])
        return [layer1[0], layer1[1], layer1[2], layer2[1], layer2[2]]
      }
      const own = sloped ? 5 : 4
      const sModulation = context.saved[own]
      const sy = context.saved[own + 1]
      const wants = { y: needsFirst || needs[3], bias: needs[4], modulation: needs[6] }
      const { dy, dBias, dModulation } = gatedGradients(sy, sModulation, gateIndex, g, wants, () => take(6))
      const layer2 = dy ? second(dy, false) : NO_GRADIENTS
      const layer1 = first(layer2[0])
      return [layer1[0], layer1[1], layer1[2], layer2[1], dBias, g, dModulation]
    })
    return out
  })
}
