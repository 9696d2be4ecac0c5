// @ditkit/diffusion: schedules, targets, losses and samplers of denoising diffusion.

export type { Corrector } from './corrector'
export { type DenoisingModel, type DiffusionLossOptions, diffusionLoss } from './loss'
export { addNoise, convertTarget, type DiffusionTarget, posteriorMean, trueTarget } from './process'
export { ddimSample, ddpmSample, type SamplerOptions } from './sampler'
export { type DiffusionSchedule, diffusionSchedule, respace, type ScheduleKind, type ScheduleOptions } from './schedule'
export { learnedLogVariance, splitVariance, variationalBound } from './variance'
