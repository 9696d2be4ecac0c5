export { AnchorProposal, type Proposed, proposalLoss } from './anchors'
export { type InferOptions, inferDiTConfig, pickDiTWeights } from './checkpoint'
export type { EncodedCondition, SceneCondition } from './condition'
export type { Conditioning } from './conditioned-block'
export { AttentionBiasGenerator, type GeneratedBias, type QueryPositions } from './decoder/attention-bias-generator'
export { normalizedProjection } from './decoder/camera-geometry'
export {
  type BiasShape,
  type CompleteCrossModalConfig,
  type CrossModalConfig,
  type CrossModalPreset,
  crossModalPreset,
  type DecoderBias,
} from './decoder/cross-modal-config'
export { CrossModalDecoder, type CrossModalInputs, type CrossModalOutputs } from './decoder/cross-modal-decoder'
export { denoisingMask } from './decoder/denoising-mask'
export { DiT, type DiTConfig, type DiTPreset, ditPreset, type Labels } from './dit'
export { type LocalConfig, LocalEncoder } from './encoders/local'
export { type PerceiverConfig, PerceiverEncoder, PerceiverPool } from './encoders/perceiver'
export { PointNet, type PointNetConfig } from './encoders/pointnet'
export { makeSceneEncoder, type SceneEncoderConfig } from './encoders/scene-encoder'
export type { SceneEncoder, SceneTokens } from './encoders/scene-tokens'
export {
  type PointSet,
  SetAbstraction,
  type SetAbstractionConfig,
  SetAbstractionEncoder,
  type SetAbstractionLevel,
} from './encoders/set-abstraction'
export { type GuidedOptions, type GuideOptions, guide, guided, limitedScale } from './guidance'
export { type PoseFrameKind, type PoseFrames, poseFrames } from './pose-geometry'
export { sinCosPositions } from './position-embedding'
export { type Anchors, SceneDiT, type SceneDiTOptions } from './scene-dit'
export { type CompleteSceneDiTConfig, completeConfig, type SceneDiTConfig } from './scene-dit-config'
export { TIMESTEP_CHANNELS, type Timesteps, timestepEmbedding } from './timestep-embedding'
