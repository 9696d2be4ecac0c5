// @ditkit/bias-factorization: attention bias as low-rank factors.

export { type AlibiOptions, alibiFactors, alibiSlopes } from './exact/alibi'
export { addFactors, type BiasScale, multiplyFactors, outerFactors, scaleFactors } from './exact/combine'
export { type GaussianOptions, gaussianFactors } from './exact/gaussian'
export type { TokenMasks } from './exact/points'
export { segmentFactors } from './exact/segments'
export { type SquaredDistanceOptions, squaredDistanceFactors } from './exact/squared-distance'
export { denseBias, type FactoredBias } from './factors'
export { type SplitBias, splitBias } from './mask/split-bias'
