// @ditkit/backend-cpu: the CPU device.

export { cpuFlash } from './attention-kernel'
<<<<<<< HEAD
export { type CpuOptions, cpu, fmaPeak } from './cpu'
=======
export { type CpuOptions, cpu, memoryOfProcess } from './cpu'
>>>>>>> ebc2d29 (ditkit plan: memory and arithmetic of a configuration, from a step on a device that computes nothing; train.recompute)
export { type CpuDescription, describeCpu } from './describe'
export { cpuDryRun, type DryRun, type Work } from './dry-run/dry-run'
export { type LedgerBlock, type LedgerPeak, MemoryLedger } from './dry-run/ledger'
