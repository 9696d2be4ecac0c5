// Attention: the contract, the calls, and the kernels that every device has.

export { attention } from './attention'
export { type BlockSize, chunkedAttention } from './chunked'
export { type AttentionCandidate, type AttentionExplanation, explainAttention } from './dispatch'
export {
  ATTENTION_CONTRACT,
  type AttentionContext,
  type AttentionFeature,
  type AttentionGradients,
  type AttentionKernel,
  type AttentionOperands,
  type AttentionOutput,
  type AttentionProblem,
  type HostOperands,
} from './kernel'
export {
  fromBatchHeads,
  fromSequenceFirst,
  mergeHeads,
  splitHeads,
  toBatchHeads,
  toSequenceFirst,
} from './layouts'
export { fromAdditiveMask, fromBlockedMask, toAdditiveMask, toBlockedMask } from './masks'
export type { AttentionOptions } from './options'
export { packedAttention, packedCrossAttention } from './packed'
export { attentionWeights } from './weights'
