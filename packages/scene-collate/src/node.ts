// Scenes in files, and batches made in worker threads.
export { openWorkers, type WorkerOptions } from './node/open-workers'
export { readSceneFile } from './node/read-scene-file'
