// The checks every op makes at the door: operands are live, on one device, of dtypes that go together.

import type { Device } from '../device'
import { type DType, isFloat } from '../dtype'
import type { Tensor } from '../tensor'

/** The device the tensors share; throws naming the operand that is elsewhere. */
export function sharedDevice(op: string, tensors: readonly Tensor[]): Device {
  const device = tensors[0]?.device
  if (!device) throw new TypeError(`${op}: at least one operand must be a tensor`)
  tensors.forEach((tensor, i) => {
    tensor.checkLive(op)
    if (tensor.device !== device) {
      throw new TypeError(
        `${op}: operand ${i} is on device ${tensor.device.name} but operand 0 is on ${device.name}` +
          `${tensor.device.name === device.name ? ' (another device of the same kind)' : ''}; copy it with device.tensor(await t.data(), t.shape)`,
      )
    }
  })
  return device
}

/** The dtype all tensors have; throws naming the one that differs. */
export function sharedDType(op: string, tensors: readonly Tensor[]): DType {
  const { dtype } = tensors[0]
  tensors.forEach((tensor, i) => {
    if (tensor.dtype !== dtype) {
      throw new TypeError(`${op}: operand ${i} is ${tensor.dtype} but operand 0 is ${dtype}; use cast(t, '${dtype}')`)
    }
  })
  return dtype
}

export function checkFloat(op: string, name: string, tensor: Tensor): void {
  tensor.checkLive(op)
  if (!isFloat(tensor.dtype))
    throw new TypeError(`${op}: ${name} is ${tensor.dtype} (expected a float dtype); use cast(t, 'f32')`)
}

export function checkDType(op: string, name: string, tensor: Tensor, dtype: DType): void {
  if (tensor.dtype !== dtype)
    throw new TypeError(`${op}: ${name} is ${tensor.dtype} (expected ${dtype}); use cast(t, '${dtype}')`)
}
