// The checks every op makes at the door: operands are live, on one device, of dtypes that go together.

import type { Device } from '../device'
import { type DType, isFloat } from '../dtype'
import { Tensor } from '../tensor'

/** The device the tensors share; throws naming the operand that is elsewhere. */
export function sharedDevice(op: string, tensors: readonly Tensor[]): Device {
  let device: Device | undefined
  for (let i = 0; i < tensors.length; i++) {
    const tensor: Tensor = tensors[i]
    // Every op passes here: the name is put together only where it is needed.
    if (!(tensor instanceof Tensor)) checkTensor(op, `operand ${i}`, tensor)
    tensor.checkLive(op)
    device ??= tensor.device
    if (tensor.device !== device) {
      throw new TypeError(
        `${op}: operand ${i} is on device ${tensor.device.name} but operand 0 is on ${device.name}` +
          `${tensor.device.name === device.name ? ' (another device of the same kind)' : ''}; copy it with device.tensor(await t.data(), t.shape)`,
      )
    }
  }
  if (!device) throw new TypeError(`${op}: at least one operand must be a tensor`)
  return device
}

/** The dtype all tensors have; throws naming the one that differs. */
export function sharedDType(op: string, tensors: readonly Tensor[]): DType {
  const { dtype } = tensors[0]
  for (let i = 1; i < tensors.length; i++) {
    if (tensors[i].dtype !== dtype) {
      throw new TypeError(
        `${op}: operand ${i} is ${tensors[i].dtype} but operand 0 is ${dtype}; use cast(t, '${dtype}')`,
      )
    }
  }
  return dtype
}

/** Throws, naming the operand, for what is no tensor or was freed. */
export function checkTensor(op: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) {
    throw new TypeError(`${op}: ${name} is ${value === null ? 'null' : typeof value} (expected a Tensor)`)
  }
  value.checkLive(op)
}

export function checkFloat(op: string, name: string, tensor: Tensor): void {
  checkTensor(op, name, tensor)
  if (!isFloat(tensor.dtype))
    throw new TypeError(`${op}: ${name} is ${tensor.dtype} (expected a float dtype); use cast(t, 'f32')`)
}

export function checkDType(op: string, name: string, tensor: Tensor, dtype: DType): void {
  checkTensor(op, name, tensor)
  if (tensor.dtype !== dtype)
    throw new TypeError(`${op}: ${name} is ${tensor.dtype} (expected ${dtype}); use cast(t, '${dtype}')`)
}
