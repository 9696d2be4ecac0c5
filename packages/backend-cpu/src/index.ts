// @ditkit/backend-cpu: the CPU device.

export { cpuFlash } from './attention-kernel'
export { type CpuOptions, cpu, fmaPeak } from './cpu'
export { type CpuDescription, describeCpu } from './describe'
