// One reader for all formats: by what a file is called and what it begins with.

import { rngKey } from '@ditkit/core'
import type { Mesh } from '../mesh/mesh'
import { sampleSurface } from '../mesh/sample-surface'
import type { Scene } from '../scene'
import { SceneError } from '../scene-error'
import { dropInvalidPoints } from '../select-points'
import { parseObj } from './obj'
import { parsePcd } from './pcd'
import { parsePly } from './ply'
import { parseXyz, type XyzOptions } from './xyz'

export type SceneFormat = 'obj' | 'ply' | 'pcd' | 'xyz'
export type FileContent = Uint8Array | ArrayBuffer | string

export interface ReadSceneOptions extends XyzOptions {
  /** Drop points that hold NaN or ±Infinity; a depth camera writes NaN where it saw nothing. Default false. */
  readonly dropInvalid?: boolean
  /** How many points to draw from the surface of a file that has faces (see `sampleSurface`), and by which seed. Default 4096 and 0. */
  readonly surfacePoints?: number
  readonly seed?: number
}

/**
 * The scene in an OBJ, PLY, PCD or XYZ file. `name` is the file's: its extension and the first bytes decide on the format, and messages begin with it.
 * A file with faces gives points drawn from its surface, with normals; one without, its points.
 *
 * Throws a SceneError that names file and field: an unknown format, a file that ends early or is malformed.
 */
export function readScene(content: FileContent, name: string, options: ReadSceneOptions = {}): Scene {
  const scene = read(content, name, options)
  return options.dropInvalid ? dropInvalidPoints(scene) : scene
}

/** The mesh in an OBJ or PLY file. Throws a SceneError also for a file without faces. */
export function readMesh(content: FileContent, name: string): Mesh {
  const format = formatOf(content, name)
  const mesh =
    format === 'obj'
      ? parseObj(text(content), name)
      : format === 'ply'
        ? parsePly(bytes(content), name).mesh
        : undefined
  if (!mesh?.faces.length)
    throw new SceneError(name, 'faces', `the ${format.toUpperCase()} file has none; a mesh is needed`)
  return mesh
}

function read(content: FileContent, name: string, options: ReadSceneOptions): Scene {
  const surface = (mesh: Mesh) => sampleSurface(mesh, options.surfacePoints ?? 4096, rngKey(options.seed ?? 0))
  switch (formatOf(content, name)) {
    case 'obj': {
      const mesh = parseObj(text(content), name)
      if (mesh.faces.length) return surface(mesh)
      const normals = mesh.normals && {
        fields: { normals: { data: mesh.normals, width: 3, parts: ['direction'] as const } },
      }
      return { name, points: mesh.vertices, ...normals }
    }
    case 'ply': {
      const { scene, mesh } = parsePly(bytes(content), name)
      return mesh ? surface(mesh) : scene
    }
    case 'pcd':
      return parsePcd(bytes(content), name)
    case 'xyz':
      return parseXyz(text(content), name, options)
  }
}

/** Throws a SceneError for what is none of the formats. */
export function formatOf(content: FileContent, name: string): SceneFormat {
  const start = new TextDecoder('latin1').decode(bytes(content).subarray(0, 4096))
  const first =
    start
      .split('\n')
      .find(line => !/^\s*($|#|\/\/)/.test(line))
      ?.trim() ?? ''
  // These two begin with a word of their own, which says more than a name.
  if (first === 'ply') return 'ply'
  if (/^(VERSION|FIELDS)\s/.test(first)) return 'pcd'
  const extension = /\.([a-z]+)$/i.exec(name)?.[1].toLowerCase()
  if (extension === 'obj' || extension === 'xyz') return extension
  if (extension === 'ply' || extension === 'pcd')
    throw new SceneError(name, 'header', `the file does not begin like a ${extension.toUpperCase()}`)
  if (/^(v|vn|vt|o|g|mtllib|usemtl)\s/.test(first)) return 'obj'
  const numbers = first.split(/[\s,;]+/).filter(token => token !== '')
  if (numbers.length >= 3 && numbers.every(token => Number.isFinite(Number(token)))) return 'xyz'
  throw new SceneError(name, undefined, 'is of no known format; OBJ, PLY, PCD and XYZ can be read')
}

function bytes(content: FileContent): Uint8Array {
  if (typeof content === 'string') return new TextEncoder().encode(content)
  return content instanceof Uint8Array ? content : new Uint8Array(content)
}

function text(content: FileContent): string {
  return typeof content === 'string' ? content : new TextDecoder().decode(content)
}
