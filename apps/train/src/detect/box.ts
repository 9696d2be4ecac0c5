// The box of an object on the table, the numbers that a model gives for it, and the space it is looked for in.

import type { Placement } from '../data/objects/tabletop'
import { categoryOf } from './categories'

export type Vector3 = readonly [number, number, number]

export interface Box {
  /** Index into CATEGORIES. */
  readonly category: number
  /** Metres. */
  readonly center: Vector3
  /** Whole lengths along its own axes, metres. */
  readonly size: Vector3
  /** Turn about +z, radians; half a turn more is the same box. */
  readonly yaw: number
}

/** Scenes lie in |x|, |y| ≤ half and 0 ≤ z ≤ height, metres. */
export const FIELD = { half: 0.5, height: 0.5 } as const

/** Numbers of a box: centre as shares of the field, logarithms of its lengths in units of 10 cm, sine and cosine of twice its yaw. */
export const BOX_SIZE = 8
const UNIT = 0.1
/** What an error of each number counts; of the centre, 10 cm count 1. */
export const NUMBER_WEIGHTS: readonly number[] = [
  (2 * FIELD.half) / UNIT,
  (2 * FIELD.half) / UNIT,
  FIELD.height / UNIT,
  1,
  1,
  1,
  1,
  1,
]

/** Writes the numbers of a box from `at`. */
export function writeBox({ center, size, yaw }: Box, into: Float32Array, at: number): void {
  into.set(toField(center), at)
  for (let axis = 0; axis < 3; axis++) into[at + 3 + axis] = Math.log(size[axis] / UNIT)
  into[at + 6] = Math.sin(2 * yaw)
  into[at + 7] = Math.cos(2 * yaw)
}

/** The opposite of `writeBox`, for any numbers. */
export function readBox(numbers: ArrayLike<number>, at: number, category: number): Box {
  const { half, height } = FIELD
  const [x, y, z, length, width, tall] = [0, 1, 2, 3, 4, 5].map(k => numbers[at + k])
  return {
    category,
    center: [(2 * x - 1) * half, (2 * y - 1) * half, z * height],
    size: [Math.exp(length) * UNIT, Math.exp(width) * UNIT, Math.exp(tall) * UNIT],
    yaw: Math.atan2(numbers[at + 6], numbers[at + 7]) / 2,
  }
}

/** A place in metres as shares of the field, each in [0, 1]. */
export function toField([x, y, z]: Vector3): Vector3 {
  const { half, height } = FIELD
  return [(x / half + 1) / 2, (y / half + 1) / 2, z / height]
}

/** The box that an object's bounds give where it stands. */
export function boxOf({ object: { entry, text }, yaw, position }: Placement): Box {
  const { low, high } = entry
  const [mx, my] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2]
  const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)]
  return {
    category: categoryOf(text),
    center: [position[0] + cos * mx - sin * my, position[1] + sin * mx + cos * my, (low[2] + high[2]) / 2],
    size: [high[0] - low[0], high[1] - low[1], high[2] - low[2]],
    yaw,
  }
}

/** The four corners of a box seen from above, in order. */
export function footprint({ center, size, yaw }: Box): [number, number][] {
  const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)]
  return [
    [1, 1],
    [-1, 1],
    [-1, -1],
    [1, -1],
  ].map(([u, v]) => {
    const [x, y] = [(u * size[0]) / 2, (v * size[1]) / 2]
    return [center[0] + cos * x - sin * y, center[1] + sin * x + cos * y]
  })
}
