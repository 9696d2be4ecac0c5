// Sinusoids of a timestep, cosines then sines (facebookresearch/DiT; the idea is from Vaswani et al. 2017).

import { type Device, Tensor } from '@ditkit/core'

/** Sinusoids the model's timestep MLP takes. */
export const TIMESTEP_CHANNELS = 256

const LONGEST_PERIOD = 10_000

/** One timestep for the batch, or B of them, on the host; or the [B, 256] that `timestepEmbedding` made of them. */
export type Timesteps = number | ArrayLike<number> | Tensor

/** Angular frequencies from 1 down to almost 1/LONGEST_PERIOD. */
function frequencies(count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, k) => Math.exp((-Math.log(LONGEST_PERIOD) * k) / count))
}

const USUAL = frequencies(TIMESTEP_CHANNELS / 2)

/**
 * [B, dim] from B timesteps, fractions allowed. Evaluated on the host in float64 and rounded once: at t near 1000 an
 * evaluation in float32 is off by 1e-5.
 * @throws RangeError for a timestep that is not finite, or an odd dim.
 */
export function timestepEmbedding(device: Device, t: ArrayLike<number>, dim = TIMESTEP_CHANNELS): Tensor {
  if (dim % 2 !== 0) throw new RangeError(`timestepEmbedding: dim must be even, got ${dim}`)
  const half = dim / 2
  const frequency = dim === TIMESTEP_CHANNELS ? USUAL : frequencies(half)
  const values = new (device.floatDType === 'f64' ? Float64Array : Float32Array)(t.length * dim)
  for (let b = 0; b < t.length; b++) {
    if (!Number.isFinite(t[b])) throw new RangeError(`timestepEmbedding: t[${b}] is ${t[b]}, expected a finite number`)
    if (b > 0 && t[b] === t[b - 1]) {
      // A sampler's batch has one timestep.
      values.copyWithin(b * dim, (b - 1) * dim, b * dim)
      continue
    }
    for (let k = 0; k < half; k++) {
      const angle = t[b] * frequency[k]
      values[b * dim + k] = Math.cos(angle)
      values[b * dim + half + k] = Math.sin(angle)
    }
  }
  return device.tensor(values, [t.length, dim])
}

/** [B, 256] for a batch; `owner` is who says that the counts do not fit. */
export function timestepSinusoids(owner: string, device: Device, batch: number, t: Timesteps): Tensor {
  if (typeof t === 'number') return timestepEmbedding(device, new Float64Array(batch).fill(t))
  const sinusoids = t instanceof Tensor ? t : timestepEmbedding(device, t)
  if (sinusoids.shape.join() !== `${batch},${TIMESTEP_CHANNELS}`) {
    const got = t instanceof Tensor ? `a tensor [${t.shape.join(', ')}]` : `${t.length} numbers`
    throw new RangeError(
      `${owner}: t is ${got} but x has ${batch} samples (expected one number, ${batch} numbers, or timestepEmbedding(device, t))`,
    )
  }
  return sinusoids
}
