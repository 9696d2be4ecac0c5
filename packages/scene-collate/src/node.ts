// Scenes in files.
export { readSceneFile } from './node/read-scene-file'
