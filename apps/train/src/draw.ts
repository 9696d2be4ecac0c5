// Draws images from a model in batches that fit memory; which batch an image falls into does not change its noise.

import { type Device, noGrad, normal, type RngKey, slice, type Tensor } from '@ditkit/core'
import { type DiT, limitedScale } from '@ditkit/dit-model'
import type { Config } from './config/schema'
import type { ImageFormat } from './model/build'
import { makeObjective, type Predict } from './objective/objective'
import type { Images } from './report/grid'
import type { Progress } from './report/progress'
import { type Interrupt, Interrupted } from './run/interrupt'

export interface DrawOptions {
  readonly device: Device
  readonly model: DiT
  readonly config: Config
  readonly format: ImageFormat
  readonly key: RngKey
  /** One per image; undefined for an unconditional model. */
  readonly labels: Int32Array | undefined
  readonly count: number
  readonly guidance: number
  readonly progress?: Progress
  readonly interrupt?: Interrupt
  /** Called with every state of the first `watched` images: the noise, then after each step. */
  readonly onFrame?: (frame: Images) => void
  readonly watched?: number
}

/** `count` images [count, C, H, W] in about [−1, 1], with the weights that are in the model now. */
export async function drawImages(options: DrawOptions): Promise<Images> {
  const { device, model, config, format, key, labels, count, progress, interrupt } = options
  const pixels = format.channels * format.size ** 2
  const data = new Float32Array(count * pixels)
  const [noiseKey, stepKey] = key.split(2)
  const objective = makeObjective(config)
  const { guidance_interval: interval, guidance_rescale: rescale } = config.sample
  const guidance = format.classes.length > 0 ? options.guidance : 1
  const noise = normal(device, [count, format.channels, format.size, format.size], noiseKey)
  model.eval()
  try {
    for (let start = 0; start < count; start += config.sample.batch) {
      if (interrupt?.requested) throw new Interrupted('stopped while drawing')
      const end = Math.min(start + config.sample.batch, count)
      const part = slice(noise, 0, start, end)
      const watched = Math.max(0, Math.min((options.watched ?? 0) - start, end - start))
      const onStep =
        watched > 0 && options.onFrame ? (state: Tensor) => frameOf(state, watched).then(options.onFrame) : undefined
      await onStep?.(part)
      const wanted = labels?.subarray(start, end)
      const predict: Predict = (x, t) => {
        if (!wanted) return model.forward(x, t)
        const scale = limitedScale(guidance, interval, objective.progress(typeof t === 'number' ? t : t[0]))
        return model.forwardWithGuidance(x, t, wanted, scale, { rescale })
      }
      const drawn = await objective.draw(predict, {
        noise: part,
        key: stepKey.foldIn(start),
        ...(onStep && { onStep }),
      })
      data.set((await drawn.data()) as Float32Array, start * pixels)
      drawn.dispose()
      part.dispose()
      progress?.update(end)
    }
  } finally {
    noise.dispose()
    model.train()
  }
  return { data, shape: [count, format.channels, format.size, format.size] }
}

async function frameOf(state: Tensor, count: number): Promise<Images> {
  const [, channels, height, width] = state.shape as [number, number, number, number]
  const part = noGrad(() => slice(state, 0, 0, count))
  const data = part.data()
  part.dispose()
  return { data: (await data) as Float32Array, shape: [count, channels, height, width] }
}

/** `count` labels spread evenly over the classes, sorted by class; undefined for an unconditional model. */
export function evenLabels(classes: number, count: number): Int32Array | undefined {
  return classes === 0 ? undefined : Int32Array.from({ length: count }, (_, i) => Math.floor((i * classes) / count))
}
