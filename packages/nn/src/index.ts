export { AdamW, type AdamWOptions, type StepReport } from './adamw'
export { clipGradNorm } from './clip-grad-norm'
export { Dropout } from './dropout'
export { EMA, type EMAOptions } from './ema'
export { Embedding } from './embedding'
export {
  constant,
  type FanOptions,
  type Initializer,
  kaimingUniform,
  normalInit,
  ones,
  skipInit,
  truncatedNormal,
  uniformInit,
  xavierUniform,
  zeros,
} from './init'
export { Linear, type LinearOptions } from './linear'
export { MLP, type MLPOptions } from './mlp'
export { buffer, Module, parameter, type StateMismatch } from './module'
export { MultiheadAttention, type MultiheadAttentionOptions } from './multihead-attention'
export type { MultiheadAttentionInputs, NamedAttentionInputs } from './multihead-attention-call'
export { matchesName, type NamePattern } from './name-pattern'
export { LayerNorm, RMSNorm } from './norm'
export type { OptimizerState } from './optimizer-state'
export type { ParameterGroup, ParameterSource } from './parameter-groups'
export { constantLr, type DecayOptions, type Schedule, warmupConstant, warmupCosine, warmupLinear } from './schedule'
export { type Layer, Sequential } from './sequential'
export { SGD, type SGDOptions } from './sgd'
export type { StateDict, StateSource, TensorRecord, TensorSource } from './state'
