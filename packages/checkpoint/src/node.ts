// Checkpoint files on disk: opened lazily, written whole or not at all.
export { type WrittenFile, writeFileAtomic } from './node/atomic-write'
export { type FileSource, fileSource } from './node/file-source'
export { openPt, type PtFile, writePt } from './node/pt-file'
export { openSafetensors, readSafetensors, type SafetensorsFile, writeSafetensors } from './node/safetensors-file'
