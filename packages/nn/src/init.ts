// First values of weights, by PyTorch's formulas. They are drawn on the host from a key, as float32, so they are the
// same numbers on every backend.

import { type Device, hostNormal, hostUniform, type RngKey, type Tensor } from '@ditkit/core'

/** Makes a tensor of first values. Anything with this signature is an initialiser. */
export type Initializer = (device: Device, shape: readonly number[], key: RngKey) => Tensor

/** Fans of a weight [out, in, …kernel]; give them when the weight is used as another shape. */
export interface FanOptions {
  fanIn?: number
  fanOut?: number
}

let skipping = false

/**
 * Runs `build` with all random initialisers giving zeros: for a model whose weights are loaded next, since drawing them
 * takes minutes for the largest. Synchronous.
 * @throws TypeError when `build` returns a Promise: what it made after its first await was drawn.
 */
export function skipInit<T>(build: () => T): T {
  const outer = skipping
  skipping = true
  try {
    const built = build()
    if (built instanceof Promise) {
      built.catch(() => {})
      throw new TypeError('skipInit: the function returned a Promise; build the model synchronously')
    }
    return built
  } finally {
    skipping = outer
  }
}

/** Uniform in ±gain·√(6 / (fanIn + fanOut)) (Glorot & Bengio 2010). */
export function xavierUniform(
  device: Device,
  shape: readonly number[],
  key: RngKey,
  options: FanOptions & { gain?: number } = {},
): Tensor {
  const { fanIn, fanOut } = fans(shape, options)
  return symmetricUniform(device, shape, key, (options.gain ?? 1) * Math.sqrt(6 / (fanIn + fanOut)))
}

/** Uniform in ±√(6 / ((1 + a²)·fanIn)) (He et al. 2015). The default a = √5 gives ±1/√fanIn, as PyTorch's Linear has. */
export function kaimingUniform(
  device: Device,
  shape: readonly number[],
  key: RngKey,
  options: FanOptions & { a?: number } = {},
): Tensor {
  const a = options.a ?? Math.sqrt(5)
  return symmetricUniform(device, shape, key, Math.sqrt(6 / ((1 + a * a) * fans(shape, options).fanIn)))
}

/** Uniform in ±bound. */
export function uniformInit(bound: number): Initializer {
  return (device, shape, key) => symmetricUniform(device, shape, key, bound)
}

export function normalInit(options: { mean?: number; std?: number } = {}): Initializer {
  const { mean = 0, std = 1 } = options
  return (device, shape, key) => drawn(device, shape, count => hostNormal(key, count).map(z => mean + std * z))
}

/** Normal, drawn again where it is further than `bound` standard deviations from 0. */
export function truncatedNormal(options: { std?: number; bound?: number } = {}): Initializer {
  const { std = 1, bound = 2 } = options
  if (!(bound > 0)) throw new RangeError(`truncatedNormal: bound must be above 0, got ${bound}`)
  return (device, shape, key) => drawn(device, shape, count => truncatedDraws(key, count, bound).map(z => std * z))
}

function truncatedDraws(key: RngKey, count: number, bound: number): Float64Array {
  const values = hostNormal(key.foldIn(0), count)
  let outside = [...values.keys()].filter(i => Math.abs(values[i]) > bound)
  for (let round = 1; outside.length > 0; round++) {
    const again = hostNormal(key.foldIn(round), outside.length)
    outside.forEach((at, i) => {
      values[at] = again[i]
    })
    outside = outside.filter(at => Math.abs(values[at]) > bound)
  }
  return values
}

export function constant(value: number): Initializer {
  return (device, shape) => device.full(shape, value)
}

export const zeros: Initializer = constant(0)
export const ones: Initializer = constant(1)

function symmetricUniform(device: Device, shape: readonly number[], key: RngKey, bound: number): Tensor {
  return drawn(device, shape, count => hostUniform(key, count).map(u => bound * (2 * u - 1)))
}

/** Draws, rounds to float32 and uploads. */
function drawn(device: Device, shape: readonly number[], draw: (count: number) => Float64Array): Tensor {
  return skipping ? device.zeros(shape) : device.tensor(Float32Array.from(draw(elements(shape))), shape)
}

function fans(shape: readonly number[], options: FanOptions): { fanIn: number; fanOut: number } {
  if (shape.length < 2 && (options.fanIn === undefined || options.fanOut === undefined))
    throw new RangeError(`initialiser: a weight of shape [${shape.join(', ')}] has no fans; give { fanIn, fanOut }`)
  const kernel = elements(shape.slice(2))
  return { fanIn: options.fanIn ?? shape[1] * kernel, fanOut: options.fanOut ?? shape[0] * kernel }
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
