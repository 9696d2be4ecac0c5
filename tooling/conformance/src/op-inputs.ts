// The numbers an op is tried on: functions of the op's name and the input's place, the same in op_fixtures.py.

import type { Device, HostArray, Tensor } from '@ditkit/core'
import { hashIntegers, hashNormal, hashUniform } from '@ditkit/oracle'
import type { OpCase, OpInput } from './ops'

export function hostInput(name: string, { shape, values = 'normal', below = 2 }: OpInput): HostArray {
  const size = shape.reduce((a, b) => a * b, 1)
  switch (values) {
    case 'normal':
      return hashNormal(name, shape)
    case 'positive':
      return Float32Array.from(hashUniform(name, size), u => 0.1 + 2 * u)
    case 'coarse':
      return Float32Array.from(hashIntegers(name, size, 5), i => i - 2)
    case 'index':
      return hashIntegers(name, size, below)
    default:
      return Uint8Array.from(hashIntegers(name, size, 2))
  }
}

/** The inputs of a case on a device; floats require a gradient unless the case is flat. */
export function deviceInputs(device: Device, op: OpCase): Tensor[] {
  return op.inputs.map((input, i) => {
    const isFloat = input.values !== 'index' && input.values !== 'bool'
    return device.tensor(hostInput(`${op.name}/${i}`, input), input.shape, { requiresGrad: isFloat && !op.flat })
  })
}

/** The gradient given to a case's result. */
export function outputGradient(op: OpCase, shape: readonly number[]): Float32Array {
  return hashNormal(`${op.name}/out`, shape)
}
