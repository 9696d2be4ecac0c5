// @ditkit/backend-cpu: the CPU device.

export { type CpuOptions, cpu } from './cpu'
export { type CpuDescription, describeCpu } from './describe'
