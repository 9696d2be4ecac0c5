// From a piece of a catalogue to the mesh that ships: standing in metres, only what can be seen from outside, light.

import { rngKey } from '@ditkit/core'
import { type Mesh, parseObj } from '@ditkit/scene-collate'
import type { Piece } from './catalogue'
import { reorder, simplify } from './simplify'
import { standUp } from './stand'
import { outside } from './visible'

/** Triangles of an object at most, unless more are needed for the tolerance (metres). */
const TRIANGLES = 3000
const TOLERANCE = 0.0005
/** A first pass, only to keep the search for hidden triangles short. */
const FIRST_TRIANGLES = 8000
const FIRST_TOLERANCE = 0.0002

/** Some files list edges as faces of one or two corners. */
const EDGE = /^f[ \t]+\S+([ \t]+\S+)?[ \t]*\r?$/gm

const VISIBILITY_KEY = rngKey(0x5649_5349)

export async function prepare(piece: Piece): Promise<Mesh> {
  const standing = standUp(parseObj(piece.obj().replace(EDGE, ''), piece.id), piece)
  const lighter = await simplify(standing, FIRST_TRIANGLES, FIRST_TOLERANCE)
  return reorder(await simplify(outside(lighter, VISIBILITY_KEY), TRIANGLES, TOLERANCE))
}
