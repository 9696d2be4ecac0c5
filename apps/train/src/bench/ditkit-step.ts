// ditkit's training step of a DiT.

import { backward, type Device, mseLoss, normal, rngKey, scope } from '@ditkit/core'
import { DiT } from '@ditkit/dit-model'
import { AdamW } from '@ditkit/nn'
import type { Work } from './ditkit-subject'
import type { StepProblem } from './problem'

export function stepWork(device: Device, problem: StepProblem): Work {
  const { batch, size, patch, channels, classes, width, depth, heads, dtype } = problem
  const model = new DiT(device, rngKey(0), {
    ...{ inputSize: size, patchSize: patch, inChannels: channels },
    ...{ hiddenSize: width, depth, numHeads: heads, numClasses: classes, classDropout: 0.1 },
    computeDtype: dtype,
  })
  const optimizer = new AdamW(model, { maxGradNorm: 1 })
  const [xKey, targetKey, labelKey] = rngKey(1).split(3)
  const x = normal(device, [batch, channels, size, size], xKey)
  const target = normal(device, [batch, channels, size, size], targetKey)
  const t = Array.from({ length: batch }, (_, i) => (997 * i + 37.5) % 1000)
  const labels = Array.from({ length: batch }, (_, i) => (7 * i) % classes)
  return {
    enqueue(times) {
      for (let i = 0; i < times; i++) {
        scope(() => {
          backward(mseLoss(model.forward(x, t, labels, { key: labelKey }), target))
          optimizer.step({ lr: 1e-4 })
          optimizer.zeroGrad()
        })
      }
    },
  }
}
