// @ditkit/core: tensors, autograd, devices, random keys, and the attention contract.

import './registration'

export * from './attention'
export { type CustomBackward, type CustomForward, type CustomOp, customOp } from './autograd/custom-op'
export { backward, grad } from './autograd/engine'
export { enableGrad, isGradEnabled, noGrad } from './autograd/mode'
export { type BackwardContext, type BackwardFunction, record } from './autograd/node'
export { recompute } from './autograd/recompute'
export type {
  Activation,
  AdamWTensors,
  Backend,
  BackendMemory,
  BufferHandle,
  CallSite,
  ComputeSupport,
  MatmulEpilogue,
  Operand,
  RandomKind,
  ReduceKind,
  StorageRef,
} from './backend'
export { createDevice, Device, type DeviceMemory, openDevice, type TensorOptions } from './device'
export {
  bytesPerElement,
  type ComputeDType,
  type DType,
  type FloatDType,
  type HostArray,
  hostArray,
  isFloat,
} from './dtype'
export { notice } from './notice'
export * from './ops'
export * from './points'
export { OPCODES, PROGRAM_LIMITS, type Program, type ProgramBuilder, program, type Value } from './program'
export * from './random'
export { reference } from './reference'
export { type ReferenceOptions, referenceBackend } from './reference/backend'
export { type AsyncScope, keep, scope, scopeAsync, unscoped } from './scope'
export { disposeAll, Tensor } from './tensor'
