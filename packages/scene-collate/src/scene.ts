// What a scene is: a point cloud of any size, and whatever belongs to it.

/** Floats; whole numbers; or flags, 0 and 1, in a Uint8Array. */
export type FieldData = Float32Array | Int32Array | Uint8Array

/**
 * What the columns of a row mean, so that they move when the scene is rotated, scaled and shifted:
 *
 *   'position'         3 columns, a place in the scene
 *   'direction'        3 columns, a normal or an axis: turns, keeps its length
 *   'rotation-6d'      6 columns, the first two columns of a rotation matrix, one after the other (Zhou et al., CVPR 2019)
 *   'quaternion-wxyz'  4 columns; 'quaternion-xyzw' has the real part last
 *   'length'           1 column, a distance such as a gripper's width
 *   a number n         n columns that stay as they are
 */
export type Part = 'position' | 'direction' | 'rotation-6d' | 'quaternion-wxyz' | 'quaternion-xyzw' | 'length' | number

export interface Field {
  /** Row-major, rows of `width` numbers. */
  readonly data: FieldData
  /** Numbers per row. */
  readonly width: number
  /** What the columns mean, left to right. Without it they stay as they are, but for per-point 'normals', which are a direction. */
  readonly parts?: readonly Part[]
}

/** A set of rows of its own length, such as the grasps of a scene [G, d]. */
export interface SetField extends Field {
  /** [G] 0 or 1: rows with 0 are dropped. */
  readonly mask?: ArrayLike<number>
}

export interface Scene {
  /** For messages. */
  readonly name?: string
  /** [P, 3] positions, in metres unless the data says otherwise. */
  readonly points: Float32Array
  /** [P] 0 or 1: points with 0 are dropped, whatever they hold. */
  readonly mask?: ArrayLike<number>
  /** Per point, [P, width]: normals, colours, an object's mask, features. */
  readonly fields?: Readonly<Record<string, Field>>
  /** Rows in any number, [G, width]. */
  readonly sets?: Readonly<Record<string, SetField>>
  /** One row per scene, [width]. */
  readonly vectors?: Readonly<Record<string, Field>>
  readonly texts?: Readonly<Record<string, string>>
  /** How the scene was moved since it was read; `invertTransform` of it undoes all of it. */
  readonly transform?: SceneTransform
}

/** p ↦ scale · R(rotation) · p + translation. */
export interface SceneTransform {
  /** Unit quaternion (w, x, y, z). */
  readonly rotation: readonly [number, number, number, number]
  readonly scale: number
  readonly translation: readonly [number, number, number]
}

/** The parts of a per-point field: its own, or those that its name implies. */
export function partsOf(name: string, field: Field): readonly Part[] | undefined {
  return field.parts ?? (name === 'normals' && field.width === 3 ? ['direction'] : undefined)
}

const PART_WIDTH = {
  position: 3,
  direction: 3,
  'rotation-6d': 6,
  'quaternion-wxyz': 4,
  'quaternion-xyzw': 4,
  length: 1,
} as const

export function partWidth(part: Part): number {
  return typeof part === 'number' ? part : PART_WIDTH[part]
}

export function isPart(part: unknown): part is Part {
  return typeof part === 'number' ? Number.isInteger(part) && part > 0 : Object.hasOwn(PART_WIDTH, part as string)
}

/** The number of rows of `points`, masked ones included. */
export function pointCount(scene: Scene): number {
  return scene.points.length / 3
}
