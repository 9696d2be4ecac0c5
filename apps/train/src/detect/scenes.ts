// The scenes that a detector is trained and scored on: household objects on a table, seen as a bird's-eye grid and by cameras,
// each from points of its own. Layout i is a function of (key, i), a look at it of a second key.

import { hostNormal, hostUniform, permutation, type RngKey } from '@ditkit/core'
import type { HouseholdObject } from '../data/objects/objects'
import { composeTabletop, type Placement, sampleTabletop } from '../data/objects/tabletop'
import { UserError } from '../errors'
import { birdEyeGrid } from './bird-eye'
import { type Box, boxOf, FIELD, footprint } from './box'
import { type Camera, camerasAround, renderPatches } from './camera'

export interface DetectSceneOptions {
  /** Most objects of a scene; it has at least two. */
  readonly mostObjects: number
  /** Fewest and most points that the grid sees. */
  readonly points: readonly [number, number]
  /** Points that the cameras see. */
  readonly cameraPoints: number
  /** Cells along each side of the grid. */
  readonly grid: number
  readonly cameras: number
  /** Standard deviation of the noise on every point of a training scene, metres. */
  readonly jitter: number
}

/** Of the objects that ship, nine draws of ten fit. */
const MOST_TRIES = 200

/** Points with their normals, [P, 3] each. */
interface Points {
  readonly points: Float32Array
  readonly normals: Float32Array
}

interface Layout {
  readonly boxes: readonly Box[]
  /** Names of the objects, in the order of the boxes. */
  readonly texts: readonly string[]
  readonly lidar: Points
  readonly visible: Points
  /** How far from the middle the scene reaches, metres. */
  readonly radius: number
}

export interface DetectScene {
  readonly boxes: readonly Box[]
  readonly texts: readonly string[]
  /** [grid, grid, CELL_CHANNELS] */
  readonly cells: Float32Array
  /** [cameras, PATCH_ROWS, PATCH_COLUMNS, PATCH_CHANNELS] */
  readonly patches: Float32Array
  /** What the grid was made of, for pictures. */
  readonly points: Float32Array
}

export class DetectScenes {
  readonly cameras: readonly Camera[]
  private readonly layouts = new Map<number, Layout>()

  constructor(
    private readonly objects: readonly HouseholdObject[],
    private readonly options: DetectSceneOptions,
    private readonly key: RngKey,
  ) {
    if (objects.length < 2)
      throw new UserError(
        `tables need two objects to train on and two held out ("split" in objects.json); of one there are ${objects.length}`,
      )
    this.cameras = camerasAround(options.cameras)
  }

  /** Scene `index` as it stands, or, with a key, turned and moved within the field, seen by other points and with noise on them. */
  scene(index: number, look?: RngKey): DetectScene {
    const { boxes, texts, lidar, visible, radius } = this.layout(index)
    const { grid, jitter, points: range } = this.options
    const [countKey, pointKey, moveKey, noiseKey] = (look ?? this.key.foldIn(index).foldIn(1)).split(4)
    const count = range[0] + Math.floor(hostUniform(countKey, 1)[0] * (range[1] - range[0] + 1))
    const chosen = permutation(pointKey, range[1]).subarray(0, count)
    const [u, v, w] = hostUniform(moveKey, 3)
    const room = look ? Math.max(0, FIELD.half - radius) : 0
    const move: Move = { yaw: look ? 2 * Math.PI * w : 0, x: (2 * u - 1) * room, y: (2 * v - 1) * room }
    const [lidarKey, cameraKey] = noiseKey.split(2)
    const noise = look ? jitter : 0
    const fromAbove = moved({ points: rows(lidar.points, chosen), normals: rows(lidar.normals, chosen) }, move)
    const fromAround = moved(visible, move)
    const seen = shaken(fromAbove.points, noise, lidarKey)
    const rendered = shaken(fromAround.points, noise, cameraKey)
    const images = this.cameras.map(camera => renderPatches(camera, rendered, fromAround.normals))
    return {
      boxes: boxes.map(box => movedBox(box, move)),
      texts,
      cells: birdEyeGrid(seen, fromAbove.normals, grid),
      patches: joined(images),
      points: seen,
    }
  }

  private layout(index: number): Layout {
    let layout = this.layouts.get(index)
    if (!layout) {
      layout = this.arrange(this.key.foldIn(index))
      this.layouts.set(index, layout)
    }
    return layout
  }

  private arrange(key: RngKey): Layout {
    const [placeKey, lidarKey, cameraKey] = key.split(3)
    const { points, cameraPoints } = this.options
    const { placed, radius } = this.place(placeKey)
    return {
      boxes: placed.map(boxOf),
      texts: placed.map(({ object }) => object.text),
      lidar: sampleTabletop(placed, points[1], lidarKey),
      visible: sampleTabletop(placed, cameraPoints, cameraKey),
      radius,
    }
  }

  /** Objects around the middle of the field; drawn again until no turn moves one out of it. */
  private place(key: RngKey): { placed: Placement[]; radius: number } {
    for (let attempt = 0; attempt < MOST_TRIES; attempt++) {
      const [countKey, composeKey] = key.foldIn(attempt).split(2)
      const count = 2 + Math.floor(hostUniform(countKey, 1)[0] * (this.options.mostObjects - 1))
      const placed = composeTabletop(this.objects, composeKey, count)
      const corners = placed.flatMap(placement => footprint(boxOf(placement)))
      const [x, y] = [0, 1].map(axis => {
        const values = corners.map(corner => corner[axis])
        return (Math.min(...values) + Math.max(...values)) / 2
      })
      const radius = Math.max(...corners.map(corner => Math.hypot(corner[0] - x, corner[1] - y)))
      if (radius > FIELD.half) continue
      const centred = placed.map(p => ({ ...p, position: [p.position[0] - x, p.position[1] - y, 0] as const }))
      return { placed: centred, radius }
    }
    throw new UserError(
      `${MOST_TRIES} draws of up to ${this.options.mostObjects} objects gave none that fits in a circle of ${FIELD.half} m; choose a smaller data.most_objects, or smaller objects`,
    )
  }
}

/** A turn about the middle of the table, then a shift. */
interface Move {
  readonly yaw: number
  readonly x: number
  readonly y: number
}

function movedBox(box: Box, { yaw, x, y }: Move): Box {
  const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)]
  const [cx, cy, cz] = box.center
  return { ...box, center: [cos * cx - sin * cy + x, sin * cx + cos * cy + y, cz], yaw: box.yaw + yaw }
}

function moved({ points, normals }: Points, { yaw, x, y }: Move): Points {
  const turn = (values: Float32Array, dx: number, dy: number) => {
    const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)]
    const turned = new Float32Array(values.length)
    for (let i = 0; i < values.length; i += 3) {
      turned[i] = cos * values[i] - sin * values[i + 1] + dx
      turned[i + 1] = sin * values[i] + cos * values[i + 1] + dy
      turned[i + 2] = values[i + 2]
    }
    return turned
  }
  return { points: turn(points, x, y), normals: turn(normals, 0, 0) }
}

function shaken(points: Float32Array, deviation: number, key: RngKey): Float32Array {
  if (deviation === 0) return points
  const noise = hostNormal(key, points.length)
  return points.map((value, i) => value + deviation * noise[i])
}

/** Rows of three numbers. */
function rows(values: Float32Array, chosen: Int32Array): Float32Array {
  const picked = new Float32Array(chosen.length * 3)
  for (const [i, row] of chosen.entries()) picked.set(values.subarray(row * 3, row * 3 + 3), i * 3)
  return picked
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.length * parts[0].length)
  for (const [i, part] of parts.entries()) whole.set(part, i * part.length)
  return whole
}
