export { type InferOptions, inferDiTConfig, pickDiTWeights } from './checkpoint'
export { DiT, type DiTConfig, type DiTPreset, ditPreset, type Labels, type Timesteps } from './dit'
export { sinCosPositions } from './position-embedding'
export { TIMESTEP_CHANNELS, timestepEmbedding } from './timestep-embedding'
