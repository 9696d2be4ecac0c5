// Scenes in any number and size to batches, anywhere, browsers included; files and worker threads are in '@ditkit/scene-collate/node'.
export {
  type BatchArray,
  type PackedBatch,
  type PackedRows,
  type PaddedBatch,
  type PaddedRows,
  paddingWaste,
  type SceneBatch,
} from './batch'
export { type BatchTensors, batchTensors, type PackedTensors, type PaddedTensors } from './batch-tensors'
export { type CheckOptions, checkScene } from './check-scene'
export { type CollateOptions, collateScenes } from './collate'
export type { FaceGroup, Mesh } from './mesh/mesh'
export { sampleSurface, surfaceArea } from './mesh/sample-surface'
export { type ObjMesh, parseObj } from './read/obj'
export { parsePcd } from './read/pcd'
export { type PlyFile, parsePly } from './read/ply'
export {
  type FileContent,
  formatOf,
  type ReadSceneOptions,
  readMesh,
  readScene,
  type SceneFormat,
} from './read/read-scene'
export { parseXyz, type XyzOptions } from './read/xyz'
export {
  type Field,
  type FieldData,
  type Part,
  pointCount,
  type Scene,
  type SceneTransform,
  type SetField,
} from './scene'
export { SceneError } from './scene-error'
export { dropInvalidPoints, selectPoints } from './select-points'
export { applyTransform, composeTransforms, invertTransform, transformValues } from './transform'
