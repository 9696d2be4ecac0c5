// Scenes in any number and size to batches, anywhere, browsers included; files and worker threads are in '@ditkit/scene-collate/node'.

export { type AugmentOptions, augmentScene } from './augment'
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
export { estimateNormals, type NormalOptions } from './estimate-normals'
export { farthestOnDevice } from './limit/farthest-on-device'
export { limitPoints, type PointLimit } from './limit/limit-points'
export { type BucketOptions, type Buckets, bucketByLength } from './loader/bucket'
export { DataLoader, type LoaderOptions, type LoaderState } from './loader/data-loader'
export type { BatchJob, BatchSource, Dataset, LoadedBatch, SceneSteps, SkippedScene } from './loader/dataset'
export type { FaceGroup, Mesh } from './mesh/mesh'
export { sampleSurface, surfaceArea } from './mesh/sample-surface'
export { datasetNormaliser, type NormaliseOptions, normaliseScene, sceneNormaliser } from './normalise'
export { pointUniforms } from './point-draws'
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
