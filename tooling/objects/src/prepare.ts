// From a piece of a catalogue to the mesh that ships: standing in metres, only what can be seen from outside, light.

import { rngKey } from '@ditkit/core'
import { type Mesh, parseObj } from '@ditkit/scene-collate'
import type { Piece } from './catalogue'
import { reorder, simplify } from './simplify'
import { centre, standUp } from './stand'
import { outside } from './visible'

/** Aims of the simplification, one after the other: at most so many triangles, the surface moved by at most so many metres. */
const AIMS = [
  { triangles: 3000, tolerance: 0.0005 },
  { triangles: 6000, tolerance: 0.001 },
] as const
/** A first pass, only to keep the search for hidden triangles short. */
const FIRST = { triangles: 8000, tolerance: 0.0002 }

/** Some files list edges as faces of one or two corners. */
const EDGE = /^f[ \t]+\S+([ \t]+\S+)?[ \t]*\r?$/gm

const VISIBILITY_KEY = rngKey(0x5649_5349)

export async function prepare(piece: Piece): Promise<Mesh> {
  const standing = standUp(parseObj(piece.obj().replace(EDGE, ''), piece.id), piece)
  let mesh = outside(await simplify(standing, FIRST), VISIBILITY_KEY)
  for (const aim of AIMS) mesh = await simplify(mesh, aim)
  return reorder(centre(mesh))
}
