// Random tensors and dropout: functions of an explicit key and the element's index, the same on every backend.

import { record } from '../autograd/node'
import type { RandomKind } from '../backend'
import type { Device, TensorOptions } from '../device'
import { program } from '../program'
import type { RngKey } from '../random/key'
import { internally } from '../scope'
import { emptyTensor, type Tensor } from '../tensor'
import { alias } from './layout'
import { checkFloat } from './operands'
import { run } from './run-program'

/** The key as the device reads it: i32 [2], low word first. A tensor, so that a captured step can be given another. */
export function keyTensor(device: Device, key: RngKey): Tensor {
  return device.tensor(Int32Array.of(key.low | 0, key.high | 0), [2])
}

function draw(kind: RandomKind, device: Device, shape: readonly number[], key: RngKey, options: TensorOptions): Tensor {
  return internally(() => {
    const out = device.empty(shape, kind === 'bits' ? { ...options, dtype: 'i32' } : options)
    device.backend.random(out, keyTensor(device, key), kind)
    return out
  })
}

/** Standard normal numbers. */
export function normal(device: Device, shape: readonly number[], key: RngKey, options: TensorOptions = {}): Tensor {
  return draw('normal', device, shape, key, options)
}

/** Uniform in [0, 1). */
export function uniform(device: Device, shape: readonly number[], key: RngKey, options: TensorOptions = {}): Tensor {
  return draw('uniform', device, shape, key, options)
}

/** 32 random bits per element, as i32. */
export function randomBits(device: Device, shape: readonly number[], key: RngKey): Tensor {
  return draw('bits', device, shape, key, {})
}

const DROP = program('dropout', 2, 2, (b, x, u, p, scale) => b.select(b.lt(u, p), b.constant(0), b.mul(x, scale)))

/** x with each element set to 0 with probability p, the others scaled by 1/(1 − p). The same key drops the same elements. */
export function dropout(x: Tensor, p: number, key: RngKey): Tensor {
  return internally(() => {
    checkFloat('dropout', 'x', x)
    if (!(p >= 0 && p < 1)) throw new RangeError(`dropout: p is ${p} (expected 0 ≤ p < 1)`)
    if (p === 0) return alias('dropout', x)
    const { device, shape, dtype } = x
    // A multiple of 2^-24, as the draws are: devices of any float dtype then drop the same elements.
    const threshold = Math.round(p * 2 ** 24) / 2 ** 24
    const apply = (t: Tensor) => {
      const u = emptyTensor(device, shape, dtype)
      device.backend.random(u, keyTensor(device, key), 'uniform')
      return run(DROP, [t, u], [threshold, 1 / (1 - p)])
    }
    const out = apply(x)
    // The mask is drawn again rather than kept.
    record('dropout', [x], [out], [], ({ 0: g }) => [g && apply(g)])
    return out
  })
}
