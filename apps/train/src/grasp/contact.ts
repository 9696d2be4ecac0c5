// Where a closing finger touches: the patch of surface that a slightly soft pad meets first, and whether a pair of
// patches can carry two equal and opposite forces within their friction cones (antipodal grasps; Nguyen 1988, "Constructing
// force-closure grasps").

import type { Polygon } from './polygon'

/** A pad yields by this much, metres, so that a contact is a patch and not a point of a mesh … */
const PAD_YIELD = 0.001
/** … but by less on thin objects: this share of the distance between the pads. */
const YIELD_SHARE = 1 / 4
/** A patch whose normals lie in the cone must be at least this large, square metres. */
const SMALLEST_PATCH = 2e-6
/** … and be at least this share of all that the pad touches. */
const CONE_SHARE = 0.5

/** A triangle between the fingers, and how far what is cut out of it reaches along the closing axis; metres. */
export interface Piece {
  /** Index of the object in the scene, and of the triangle in its mesh. */
  readonly object: number
  readonly triangle: number
  readonly low: number
  readonly high: number
}

/** The part of a triangle between the fingers, in the gripper's frame. The polygon is free again at the next call. */
export type CutOut = (object: number, triangle: number) => Polygon

/** A facet of the patch: its unit normal, turned to the +y side, and its area as the pad sees it. */
interface Facet {
  readonly normal: readonly [number, number, number]
  readonly area: number
}

/** What one pad touches. */
interface Patch {
  readonly facets: readonly Facet[]
  /** The area of all facets, and of those whose normals lie in the friction cone about the closing axis. */
  readonly area: number
  readonly coneArea: number
  /** Bounds of the facets in the cone, along the approach and across: [x0, x1, z0, z1]. */
  readonly extent: readonly [number, number, number, number]
}

export interface Contact {
  /** Index of the object that is held. */
  readonly object: number
  /** Distance between the pads when they have closed, metres. */
  readonly thickness: number
  /** The point half way between them along the closing axis, from the grasp centre; metres. */
  readonly middle: number
}

/** Closes the fingers on what lies between them. Both reach the object before it is squeezed: a light object shifts until they do. */
export function closeFingers(
  pieces: readonly Piece[],
  cutOut: CutOut,
  friction: number,
): Contact | { readonly failure: string } {
  if (pieces.length === 0) return { failure: 'nothing between the fingers' }
  const left = pieces.reduce((a, b) => (b.low < a.low ? b : a))
  const right = pieces.reduce((a, b) => (b.high > a.high ? b : a))
  if (left.object !== right.object) return { failure: 'the fingers meet two objects' }
  const thickness = right.high - left.low
  const held = pieces.filter(piece => piece.object === left.object)
  // A flat face is not met at one depth exactly.
  const depth = Math.min(PAD_YIELD, thickness * YIELD_SHARE) + 1e-6
  const cosine = 1 / Math.hypot(1, friction)
  const patches = [
    touch(held, cutOut, -1, -left.low - depth, cosine),
    touch(held, cutOut, 1, right.high - depth, cosine),
  ]
  for (const patch of patches) {
    if (patch.area < SMALLEST_PATCH) return { failure: 'the fingers touch too little' }
    if (patch.coneArea < Math.max(SMALLEST_PATCH, CONE_SHARE * patch.area)) return { failure: 'the fingers slip' }
  }
  const [a, b] = patches.map(patch => patch.extent)
  const line: [number, number, number] = [offset(a[0], a[1], b[0], b[1]), thickness, offset(a[2], a[3], b[2], b[3])]
  if (patches.some(patch => areaInCone(patch, line, cosine) < CONE_SHARE * patch.area))
    return { failure: 'the contacts are not opposite' }
  return { object: left.object, thickness, middle: (left.low + right.high) / 2 }
}

/** The patch of surface with side · y ≥ limit. */
function touch(pieces: readonly Piece[], cutOut: CutOut, side: 1 | -1, limit: number, cosine: number): Patch {
  const facets: Facet[] = []
  let area = 0
  let coneArea = 0
  const extent: [number, number, number, number] = [Infinity, -Infinity, Infinity, -Infinity]
  for (const piece of pieces) {
    if ((side === 1 ? piece.high : -piece.low) < limit) continue
    const polygon = cutOut(piece.object, piece.triangle)
    polygon.keep(1, side, limit)
    const [x, y, z] = polygon.doubleArea()
    const length = Math.hypot(x, y, z)
    if (length === 0) continue
    const turn = (y < 0 ? -1 : 1) / length
    const facet: Facet = { normal: [x * turn, y * turn, z * turn], area: Math.abs(y) / 2 }
    facets.push(facet)
    area += facet.area
    if (facet.normal[1] < cosine) continue
    coneArea += facet.area
    extent[0] = Math.min(extent[0], polygon.low(0))
    extent[1] = Math.max(extent[1], polygon.high(0))
    extent[2] = Math.min(extent[2], polygon.low(2))
    extent[3] = Math.max(extent[3], polygon.high(2))
  }
  return { facets, area, coneArea, extent }
}

/** How far an interval lies beside another; 0 where they overlap, because the pressure of a patch can shift within it. */
function offset(from: number, to: number, otherFrom: number, otherTo: number): number {
  return Math.max(0, otherFrom - to) - Math.max(0, from - otherTo)
}

/** The area of the facets whose normals lie in the cone about the line from one contact to the other. */
function areaInCone({ facets }: Patch, line: readonly [number, number, number], cosine: number): number {
  const length = Math.hypot(...line)
  const limit = cosine * length
  let area = 0
  for (const { normal, area: own } of facets) {
    if (normal[0] * line[0] + normal[1] * line[1] + normal[2] * line[2] >= limit - 1e-12) area += own
  }
  return area
}
