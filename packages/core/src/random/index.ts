// Counter-based random numbers: keys, host draws, and the generator itself for those who write kernels.

export { hostBits, hostNormal, hostUniform, permutation, randomInt } from './host'
export { RngKey, rngKey } from './key'
export { attentionDropoutLanes, dropoutThreshold, philox4x32 } from './philox'
