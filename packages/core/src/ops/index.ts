// Every public op, by family.

export {
  add,
  div,
  equal,
  greater,
  greaterEqual,
  less,
  lessEqual,
  logicalAnd,
  logicalOr,
  maximum,
  minimum,
  mul,
  notEqual,
  pow,
  sub,
} from './binary'
export { embedding, scatterAdd } from './embedding'
export { gatherPoints } from './gather-points'
export { type AdamWParameter, type AdamWScalars, adamwStep, assign } from './in-place'
export {
  cast,
  concat,
  contiguous,
  detach,
  expand,
  pad,
  permute,
  reshape,
  slice,
  split,
  squeeze,
  stack,
  transpose,
  unsqueeze,
} from './layout'
export { crossEntropy, mseLoss } from './loss'
export { type GatedInto, type LinearOptions, linear, type MatmulOptions, matmul } from './matmul'
export { type MLPLayer, type MLPOptions, mlp } from './mlp'
export { gatedResidual, modulatedLayerNorm } from './modulate'
export { layerNorm, type NormOptions, rmsNorm } from './norm'
export {
  ballQuery,
  type FarthestPoints,
  farthestPoints,
  type NearestPoints,
  type NeighbourOptions,
  nearestPoints,
  type PointOptions,
} from './points'
export { quantile } from './quantile'
export { dropout, normal, randomBits, uniform } from './random'
export { argmax, logSoftmax, logSumExp, max, mean, min, type ReduceOptions, softmax, sum, variance } from './reduce'
export { type ProgramOutput, runProgram } from './run-program'
export {
  abs,
  clamp,
  cos,
  exp,
  floor,
  gelu,
  isFinite,
  log,
  logicalNot,
  neg,
  reciprocal,
  relu,
  round,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  tanh,
} from './unary'
export { where } from './where'
