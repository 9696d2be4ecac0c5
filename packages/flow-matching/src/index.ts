// @ditkit/flow-matching: paths, times, losses, ODE solvers and likelihoods. t = 0 is noise, t = 1 is data.

export { type ClipOptions, clipImpliedData } from './clip'
export { convertPrediction, type PredictionKind } from './convert'
export { linearAssignment } from './coupling/assignment'
export { type Coupling, type CouplingOptions, coupleNoise, takeRows } from './coupling/couple'
export type { SinkhornOptions } from './coupling/sinkhorn'
export { bitsPerDim, type LikelihoodOptions, logLikelihood } from './likelihood'
export { type FlowMatchingOptions, flowMatchingLoss, type TimedModel } from './loss'
export { cosinePath, interpolate, linearPath, type Path, pathByName, targetVelocity, vpPath } from './path'
export { type PredictorCorrectorOptions, predictorCorrectorSample } from './predictor-corrector'
export {
  type FixedMethod,
  integrate,
  odeSolve,
  type Solution,
  type SolverMethod,
  type SolverOptions,
} from './solver'
export type { Derivative } from './stages'
export { sampleTime, type TimeOptions, type TimeSampler } from './time'
