// Virtual cameras around the table: points splatted into small images of depth and normals, cut into patches, one token each.

import { FIELD, type Vector3 } from './box'

/** Pixels, and the side of a patch. */
export const IMAGE = { width: 80, height: 64, patch: 8 } as const
export const PATCH_COLUMNS = IMAGE.width / IMAGE.patch
export const PATCH_ROWS = IMAGE.height / IMAGE.patch
/** Places and depths are told in units of so many metres. */
const UNIT = 0.25
/** Numbers of a pixel: whether a point was seen, its depth from the middle of the field, its normal as the camera sees it. */
const PIXEL_CHANNELS = 5
const PIXELS = PIXEL_CHANNELS * IMAGE.patch ** 2
/** Numbers of a patch: its pixels, how many of them saw a point (a share), and the mean place of those points. */
export const PATCH_CHANNELS = PIXELS + 4
/** Of a patch, the share of pixels that saw a point. */
export const PATCH_SHARE = PIXELS

/** A pinhole camera; pixel = focal · (right, down) / forward + the image's middle. */
export interface Camera {
  readonly position: Vector3
  readonly right: Vector3
  readonly down: Vector3
  readonly forward: Vector3
  /** Pixels. */
  readonly focal: number
}

/** What lies in the field lies so far along a camera's axis, metres. */
export const DEPTHS = { from: 0.8, to: 2 } as const

/** From the middle of the table to each camera, metres, and how high it stands above it, radians. */
const DISTANCE = 1.5
const ELEVATION = 0.7
const TARGET: Vector3 = [0, 0, 0.08]
/** The field, seen from the cameras, fills the images' width. */
const FOCAL = (IMAGE.width / 2) * (DISTANCE / (FIELD.half * 1.1))

/** `count` cameras, evenly around the table, looking at its middle. */
export function camerasAround(count: number): Camera[] {
  return Array.from({ length: count }, (_, i) => {
    const azimuth = (2 * Math.PI * i) / count
    const [ca, sa] = [Math.cos(azimuth), Math.sin(azimuth)]
    const [ce, se] = [Math.cos(ELEVATION), Math.sin(ELEVATION)]
    return {
      position: [TARGET[0] + DISTANCE * ce * ca, TARGET[1] + DISTANCE * ce * sa, TARGET[2] + DISTANCE * se],
      right: [-sa, ca, 0],
      down: [se * ca, se * sa, -ce],
      forward: [-ce * ca, -ce * sa, -se],
      focal: FOCAL,
    }
  })
}

/** Where a camera sees a place: pixels from the image's upper left corner, and depth along its axis in metres. */
export function project({ position, right, down, forward, focal }: Camera, [x, y, z]: Vector3): Vector3 {
  const [dx, dy, dz] = [x - position[0], y - position[1], z - position[2]]
  const depth = forward[0] * dx + forward[1] * dy + forward[2] * dz
  const u = (focal * (right[0] * dx + right[1] * dy + right[2] * dz)) / depth + IMAGE.width / 2
  const v = (focal * (down[0] * dx + down[1] * dy + down[2] * dz)) / depth + IMAGE.height / 2
  return [u, v, depth]
}

/** `project` as a matrix [3, 4], row by row: (x, y, z, 1) to (u·depth, v·depth, depth). */
export function projectionOf({ position, right, down, forward, focal }: Camera): number[] {
  const rows = [right, down].map((axis, i) => {
    const middle = (i === 0 ? IMAGE.width : IMAGE.height) / 2
    return axis.map((value, k) => focal * value + middle * forward[k])
  })
  return [...rows, forward].flatMap(row => [...row, -row.reduce((sum, value, k) => sum + value * position[k], 0)])
}

/**
 * The patches [PATCH_ROWS, PATCH_COLUMNS, PATCH_CHANNELS] of what a camera sees of points [P, 3] in metres and their normals: of each pixel
 * the nearest point.
 */
export function renderPatches(camera: Camera, points: Float32Array, normals: Float32Array): Float32Array {
  const { width, height, patch } = IMAGE
  const nearest = new Float64Array(width * height).fill(Number.POSITIVE_INFINITY)
  const seen = new Int32Array(width * height).fill(-1)
  for (let i = 0; i < points.length; i += 3) {
    const [u, v, depth] = project(camera, [points[i], points[i + 1], points[i + 2]])
    const [column, row] = [Math.floor(u), Math.floor(v)]
    if (depth <= 0 || column < 0 || row < 0 || column >= width || row >= height) continue
    const pixel = row * width + column
    if (depth >= nearest[pixel]) continue
    nearest[pixel] = depth
    seen[pixel] = i
  }
  const patches = new Float32Array(PATCH_ROWS * PATCH_COLUMNS * PATCH_CHANNELS)
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const pixel = row * width + column
      const i = seen[pixel]
      if (i < 0) continue
      const token = Math.floor(row / patch) * PATCH_COLUMNS + Math.floor(column / patch)
      const first = token * PATCH_CHANNELS
      patches[first + PIXELS] += 1 / patch ** 2
      for (let axis = 0; axis < 3; axis++) patches[first + PIXELS + 1 + axis] += points[i + axis] / UNIT
      const at = first + ((row % patch) * patch + (column % patch)) * PIXEL_CHANNELS
      patches[at] = 1
      patches[at + 1] = (nearest[pixel] - DISTANCE) / UNIT
      for (const [k, axis] of [camera.right, camera.down, camera.forward].entries())
        patches[at + 2 + k] = axis[0] * normals[i] + axis[1] * normals[i + 1] + axis[2] * normals[i + 2]
    }
  }
  for (let first = PIXELS; first < patches.length; first += PATCH_CHANNELS) {
    const seen = patches[first] * patch ** 2
    for (let axis = 1; seen > 0 && axis <= 3; axis++) patches[first + axis] /= seen
  }
  return patches
}
