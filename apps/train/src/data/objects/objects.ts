// The household objects that ship with ditkit, with derived grasps; how they were made is in objects/README.md.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RngKey } from '@ditkit/core'
import { type Mesh, SceneError, sampleSurface, surfaceArea } from '@ditkit/scene-collate'
import { z } from 'zod'
import { messageOf, UserError } from '../../errors'
import { Bvh } from '../../grasp/bvh'
import type { GraspPose } from '../../grasp/pose'
import { objectFolder } from '../../package-files'
import { type ObjectGeometry, unpackObject } from './codec'

const point = z.tuple([z.number(), z.number(), z.number()])
const whole = z.number().int().min(0)

export const objectEntry = z.strictObject({
  id: z.string(),
  /** What it is in words, such as 'a mug'. */
  text: z.string(),
  category: z.string(),
  split: z.enum(['train', 'held-out']),
  /** Objects of like shape share a group, and a split. */
  group: z.string(),
  licence: z.enum(['CC0-1.0', 'CC-BY-3.0']),
  author: z.string(),
  catalogue: z.string(),
  title: z.string().optional(),
  url: z.string().optional(),
  vertices: whole,
  triangles: whole,
  grasps: whole,
  /** Bounds, metres; it stands on z = 0. */
  low: point,
  high: point,
  /** Where its block lies in the data file. */
  offset: whole,
  bytes: whole,
})

export const objectIndex = z.strictObject({
  format: z.literal(1),
  data: z.strictObject({ file: z.string(), bytes: whole, sha256: z.string() }),
  objects: z.array(objectEntry).min(1),
})

export type ObjectEntry = z.infer<typeof objectEntry>
export type ObjectIndex = z.infer<typeof objectIndex>

export class HouseholdObject {
  private unpacked: ObjectGeometry | undefined
  private tree: Bvh | undefined

  constructor(
    readonly entry: ObjectEntry,
    private readonly unpack: () => ObjectGeometry,
  ) {}

  get id(): string {
    return this.entry.id
  }

  get text(): string {
    return this.entry.text
  }

  /** Metres; standing on z = 0, its bounds centred over the origin. */
  get mesh(): Mesh {
    return this.geometry.mesh
  }

  /** Grasps that hold on this mesh, in its coordinates. */
  get grasps(): readonly GraspPose[] {
    return this.geometry.grasps
  }

  get bvh(): Bvh {
    this.tree ??= new Bvh(this.mesh)
    return this.tree
  }

  /** `count` points [count, 3] uniform on the surface, and their outward normals: a function of the key. */
  sample(count: number, key: RngKey): { points: Float32Array; normals: Float32Array } {
    const { points, fields } = sampleSurface(this.mesh, count, key)
    return { points, normals: fields!.normals.data as Float32Array }
  }

  private get geometry(): ObjectGeometry {
    this.unpacked ??= this.unpack()
    return this.unpacked
  }
}

export interface ObjectsSource {
  /** The objects that ship with ditkit when left out. */
  readonly folder?: string | undefined
  /** Leave out objects that cannot be used, instead of stopping at the first. */
  readonly skip_broken?: boolean
}

/**
 * Reads the index, checks the data file against it, and every object. `warn` is told about each that `skip_broken` leaves out. Throws a UserError
 * for a file that is missing, damaged or of another version, for an object that cannot be used, and when none can.
 */
export function loadObjects(
  { folder = objectFolder, skip_broken: skip = false }: ObjectsSource = {},
  warn: (line: string) => void = line => console.warn(line),
): HouseholdObject[] {
  const indexFile = join(folder, 'objects.json')
  const index = objectIndex.safeParse(readIndex(indexFile))
  if (!index.success)
    throw new UserError(`${indexFile} is not an index of this version of ditkit: ${z.prettifyError(index.error)}`)
  const { data, objects } = index.data
  const bytes = readData(join(folder, data.file), data)
  const sound = objects.map(entry => {
    const { offset, bytes: length } = entry
    const object = new HouseholdObject(entry, () => unpackObject(bytes.subarray(offset, offset + length), entry))
    const broken = whatIsBroken(object, bytes.length)
    if (broken === undefined) return object
    const what = `object ${entry.id} of ${folder}: ${broken}`
    if (!skip) throw new UserError(`${what}; repair it, or say data.skip_broken=true`)
    warn(`skipped ${what}`)
    return undefined
  })
  const left = sound.filter(object => object !== undefined)
  if (left.length === 0) throw new UserError(`data.folder ${folder}: none of its ${objects.length} objects can be used`)
  return left
}

/** The field and what is wrong with it; undefined for an object that can be used. */
function whatIsBroken(object: HouseholdObject, bytes: number): string | undefined {
  const { text, offset, bytes: length, triangles } = object.entry
  if (text.trim() === '') return 'text: is empty'
  if (offset + length > bytes) return `data: ends at byte ${offset + length} of ${bytes}`
  try {
    if (!(surfaceArea(object.mesh) > 0)) return `mesh: none of its ${triangles} triangles has an area`
  } catch (error) {
    return error instanceof SceneError ? error.message : `data: ${messageOf(error)}`
  }
  return undefined
}

const AGAIN = 'install ditkit again, or in its repository restore apps/train/objects'

function readIndex(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UserError(`cannot read the index of objects ${file}: ${messageOf(error)}; ${AGAIN}`)
  }
}

function readData(file: string, expected: ObjectIndex['data']): Buffer {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw new UserError(`cannot read the objects' data ${file}: ${messageOf(error)}; ${AGAIN}`)
  }
  if (bytes.length !== expected.bytes) {
    throw new UserError(`${file} has ${bytes.length} bytes, its index says ${expected.bytes}; ${AGAIN}`)
  }
  const found = createHash('sha256').update(bytes).digest('hex')
  if (found !== expected.sha256)
    throw new UserError(`${file} is damaged: its SHA-256 is ${found}, its index says ${expected.sha256}; ${AGAIN}`)
  return bytes
}
