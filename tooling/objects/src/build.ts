// Makes apps/train/objects from Debian's sweethome3d-furniture; the README there says how to run it.

import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rngKey } from '@ditkit/core'
import { headerOf, packObject, unpackObject } from '../../../apps/train/src/data/objects/codec'
import type { ObjectEntry, ObjectIndex } from '../../../apps/train/src/data/objects/objects'
import { Bvh } from '../../../apps/train/src/grasp/bvh'
import { deriveGrasps } from '../../../apps/train/src/grasp/derive'
import { gradeGrasp, onTable } from '../../../apps/train/src/grasp/grade'
import { attribution } from './attribution'
import { type Piece, readCatalogues } from './catalogue'
import { reasonToDrop, textOf } from './choose'
import { prepare } from './prepare'
import { groupAlike, holdOut } from './split'

const folder = process.argv[2] ?? '/usr/share/sweethome3d/furniture'
const output = fileURLToPath(new URL('../../../apps/train/objects/', import.meta.url))
const GRASP_KEY = rngKey(0x4752_4153)
/** Grasps of an object at most, and what an object needs to be in the set. */
const GRASPS = 192
const FEWEST_GRASPS = 16
const ATTEMPTS = 30_000

interface Built {
  readonly piece: Piece
  readonly text: string
  readonly block: Buffer
  readonly header: ReturnType<typeof headerOf>
  readonly mesh: ReturnType<typeof unpackObject>['mesh']
}

const dropped = new Map<string, string[]>()
const drop = ({ id }: Piece, reason: string) => dropped.set(reason, [...(dropped.get(reason) ?? []), id])

const built: Built[] = []
for (const [number, piece] of readCatalogues(folder).entries()) {
  const reason = reasonToDrop(piece)
  if (reason) {
    drop(piece, reason)
    continue
  }
  const object = await build(piece, number)
  if (object) built.push(object)
  else drop(piece, 'no grasp, or none that holds when a little off')
}

const groups = groupAlike(built.map(({ piece, text, mesh }) => ({ id: piece.id, text, mesh })))
const held = holdOut(groups)
let offset = 0
const objects = built.map(({ piece, text, header, block }, i): ObjectEntry => {
  const entry: ObjectEntry = {
    id: piece.id,
    text,
    category: piece.category,
    split: held[i] ? 'held-out' : 'train',
    group: groups[i],
    licence: piece.licence,
    author: piece.author,
    catalogue: piece.catalogue,
    ...(piece.title && { title: piece.title }),
    ...(piece.url && { url: piece.url }),
    ...header,
    offset,
    bytes: block.length,
  }
  offset += block.length
  return entry
})
const data = Buffer.concat(built.map(({ block }) => block))
const sha256 = createHash('sha256').update(data).digest('hex')
const index: ObjectIndex = { format: 1, data: { file: 'objects.bin', bytes: data.length, sha256 }, objects }
mkdirSync(output, { recursive: true })
writeFileSync(join(output, 'objects.bin'), data)
const lines = objects.map(object => `    ${JSON.stringify(object)}`).join(',\n')
const { format, data: dataFile } = index
writeFileSync(
  join(output, 'objects.json'),
  `{\n  "format": ${format},\n  "data": ${JSON.stringify(dataFile)},\n  "objects": [\n${lines}\n  ]\n}\n`,
)
writeFileSync(join(output, 'ATTRIBUTION.md'), attribution(objects))
report()

/** Packs an object as it ships: its grasps hold on the mesh as unpacked. Undefined when too few do. */
async function build(piece: Piece, number: number): Promise<Built | undefined> {
  const prepared = await prepare(piece)
  const exact = { mesh: prepared, grasps: [] }
  const { mesh } = unpackObject(packObject(exact, headerOf(exact)), headerOf(exact))
  const found = deriveGrasps(mesh, { key: GRASP_KEY.foldIn(number), count: GRASPS, attempts: ATTEMPTS })
  const header = headerOf({ mesh: prepared, grasps: found })
  const scene = onTable(new Bvh(mesh))
  const stored = unpackObject(packObject({ mesh: prepared, grasps: found }, header), header).grasps
  const grasps = found.filter((_, i) => gradeGrasp(scene, stored[i]).holds)
  console.log(
    `${piece.id}: ${mesh.faces.length / 3} triangles, ${grasps.length} grasps (${found.length - grasps.length} lost)`,
  )
  if (grasps.length < FEWEST_GRASPS) return undefined
  const kept = { ...header, grasps: grasps.length }
  return { piece, text: textOf(piece), block: packObject({ mesh: prepared, grasps }, kept), header: kept, mesh }
}

function report(): void {
  for (const [reason, ids] of dropped)
    console.log(`dropped, ${reason}: ${ids.length}${ids.length < 80 ? ` (${ids.join(', ')})` : ''}`)
  const count = (split: string) => objects.filter(object => object.split === split).length
  const grasps = objects.reduce((sum, object) => sum + object.grasps, 0)
  console.log(
    `${objects.length} objects: ${count('train')} to train on, ${count('held-out')} held out; ${grasps} grasps; ${data.length} bytes`,
  )
}
