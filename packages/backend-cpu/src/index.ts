// @ditkit/backend-cpu: the CPU device.

export { cpuFlash } from './attention-kernel'
export { type CpuOptions, cpu, fmaPeak, memoryOfProcess } from './cpu'
export { type CpuDescription, describeCpu } from './describe'
export { cpuDryRun, type DryRun, type Work } from './dry-run/dry-run'
export { type LedgerBlock, type LedgerPeak, MemoryLedger } from './dry-run/ledger'
