// Flow matching on the straight path: t = 0 is noise, t = 1 is data, and the timestep embedding receives 1000·t.

import { type Device, hostNormal, mul, normal, type RngKey, type Tensor } from '@ditkit/core'
import {
  clipImpliedData,
  coupleNoise,
  flowMatchingLoss,
  odeSolve,
  predictorCorrectorSample,
  sampleTime,
  takeRows,
} from '@ditkit/flow-matching'
import type { Config } from '../config/schema'
import { DYNAMIC_QUANTILE, type HostData, type Objective, type Predict } from './objective'

type Flow = Config['flow']

const TIME_SCALE = 1000

/** The same model, taking t in [0, 1]. */
const scaled =
  (predict: Predict): Predict =>
  (x, t, key) =>
    predict(x, typeof t === 'number' ? TIME_SCALE * t : t.map(value => TIME_SCALE * value), key)

export function flowObjective(config: Flow, sample: Config['sample']): Objective {
  const { time, time_mean: mean, time_std: std, solver: method, sample_steps: steps, coupling } = config
  return {
    loss(predict, data, key, host) {
      const [noiseKey, timeKey, modelKey] = key.split(3)
      const x0 =
        coupling === 'none'
          ? normal(data.device, data.shape, noiseKey)
          : coupledNoise(data.device, data.shape, noiseKey, host, config)
      const t = sampleTime(time, timeKey, data.shape[0], { mean, std })
      return flowMatchingLoss((xt, times) => scaled(predict)(xt, times, modelKey), data, { x0, t })
    },
    progress: t => t / TIME_SCALE,
    async draw(predict, { noise, key, onStep }) {
      const start = mul(noise, config.noise_scale)
      const velocity = clipped((x, t) => scaled(predict)(x, t), config.clip)
      const { corrector_steps: corrections, corrector_snr: snr } = sample
      const options = { method, steps, ...(onStep && { onStep }) }
      try {
        return corrections > 0
          ? await predictorCorrectorSample(velocity, start, { ...options, key, corrections, snr })
          : await odeSolve(velocity, start, options)
      } finally {
        start.dispose()
      }
    },
  }
}

function clipped(velocity: (x: Tensor, t: number) => Tensor, clip: Flow['clip']) {
  if (clip === 'none') return velocity
  return clipImpliedData(velocity, clip === 'dynamic' ? { quantile: DYNAMIC_QUANTILE } : {})
}

let warned = false

/** Noise of a key, its rows exchanged to suit the data. */
function coupledNoise(
  device: Device,
  shape: readonly number[],
  key: RngKey,
  { values, rows, condition, mask }: HostData,
  { coupling, coupling_epsilon: epsilon }: Flow,
): Tensor {
  const [drawKey, pairKey] = key.split(2)
  const noise = Float32Array.from(hostNormal(drawKey, values.length))
  const terms = { ...(condition && { condition }), ...(mask && { mask }) }
  const { indices, converged, iterations, marginalError } = coupleNoise(
    noise,
    values,
    rows,
    coupling === 'exact' ? { ...terms, method: 'exact' } : { ...terms, method: 'sinkhorn', key: pairKey, epsilon },
  )
  if (!converged && !warned) {
    warned = true
    console.warn(
      `flow.coupling=sinkhorn: after ${iterations} iterations rows are still off by ${marginalError.toPrecision(2)}; a larger flow.coupling_epsilon converges sooner`,
    )
  }
  return device.tensor(takeRows(noise, indices), shape)
}
