// @ditkit/bias-factorization/neural: factors made by two small MLPs. The only part of the package that needs @ditkit/nn.

export type { BiasFit } from './neural/bias-fit'
export { type FitOptions, type FitReport, type FitTarget, fitFactors } from './neural/fit-factors'
export { NeuralFactors, type NeuralFactorsOptions, TokenFactors } from './neural/neural-factors'
