// A scene file on disk.

import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { type ReadSceneOptions, readScene } from '../read/read-scene'
import type { Scene } from '../scene'

/** `readScene` of a file; the scene has the file's name. */
export async function readSceneFile(path: string, options?: ReadSceneOptions): Promise<Scene> {
  return readScene(await readFile(path), basename(path), options)
}
