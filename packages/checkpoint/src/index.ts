// Checkpoint files anywhere, browsers included; what needs a file system is in '@ditkit/checkpoint/node'.
export { DTYPES, type DType, type DTypeInfo, dtypeInfo, isDType, type TensorArray, type TensorArrays } from './dtype'
export { CheckpointError, type CheckpointErrorContext } from './errors'
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './float16'
export type { PtInput } from './pt/pickle-writer'
export { type PtOptions, parsePt, stateDict } from './pt/read'
export { PtStorage } from './pt/storage'
export { PtTensor } from './pt/tensor'
export { PtClass, PtObject, type PtValue } from './pt/values'
export { ptChunks, serializePt } from './pt/write'
export {
  openSafetensors,
  parseSafetensors,
  SafetensorsMap,
  SafetensorsReader,
  type TensorInfo,
} from './safetensors/read'
export {
  type NamedTensors,
  type SafetensorsOptions,
  safetensorsChunks,
  serializeSafetensors,
} from './safetensors/write'
export { blobSource, bytesSource, type Source, type SourceLike } from './source'
export type { LazyTensor, TensorInput, TensorRecord, TensorSource } from './tensor-record'
export { toFloat32 } from './to-float32'
