// Pictures of point clouds, grasps and boxes: each scene from two sides, points in their colours, grippers and boxes as wire frames.

import { createCanvas, type SKRSContext2D } from '@napi-rs/canvas'
import { type Box, footprint } from '../detect/box'
import { fingerBox, PARALLEL_JAW } from '../grasp/gripper'
import type { GraspPose } from '../grasp/pose'
import { FONT } from './font'

/** A CSS colour such as '#1f5fa8'. */
export type Color = string

export interface SceneView {
  readonly title: string
  /** [P, 3] metres, z up. */
  readonly points: Float32Array
  /** [P, 3] unit normals; points that face away from the viewer are then left out, and others shaded. */
  readonly normals?: Float32Array
  /** One per point, or one for all. */
  readonly colors?: readonly Color[] | Color
  readonly grasps?: readonly { readonly pose: GraspPose; readonly color: Color }[]
  readonly boxes?: readonly { readonly box: Box; readonly color: Color }[]
}

const CELL = 420
const TITLE = 34
const MARGIN = 26
/** Where the viewer stands: turn about the vertical and height above the table, radians. */
const VIEWS = [
  { azimuth: -0.6, elevation: 0.45 },
  { azimuth: 0.95, elevation: 1.05 },
] as const

/** A PNG with the scenes side by side in `columns` columns, two views of each. */
export async function sceneViewsPng(scenes: readonly SceneView[], columns: number): Promise<Buffer> {
  const rows = Math.ceil(scenes.length / columns)
  const canvas = createCanvas(columns * CELL * VIEWS.length, rows * (CELL + TITLE))
  const context = canvas.getContext('2d')
  context.fillStyle = '#ffffff'
  context.fillRect(0, 0, canvas.width, canvas.height)
  for (const [i, scene] of scenes.entries()) {
    const left = (i % columns) * CELL * VIEWS.length
    const top = Math.floor(i / columns) * (CELL + TITLE)
    context.fillStyle = '#3a3f47'
    context.font = `22px "${FONT}"`
    context.textAlign = 'center'
    context.fillText(scene.title, left + (CELL * VIEWS.length) / 2, top + TITLE - 9, CELL * VIEWS.length - 20)
    for (const [v, view] of VIEWS.entries()) {
      context.save()
      context.translate(left + v * CELL, top + TITLE)
      context.beginPath()
      context.rect(0, 0, CELL, CELL)
      context.clip()
      drawScene(context, scene, view)
      context.restore()
    }
  }
  return canvas.encode('png')
}

type View = (typeof VIEWS)[number]
type Vector = readonly [number, number, number]

function drawScene(context: SKRSContext2D, scene: SceneView, view: View): void {
  const camera = cameraOf(view)
  const wires = [
    ...(scene.grasps ?? []).map(({ pose, color }) => ({ lines: gripperLines(pose), color })),
    ...(scene.boxes ?? []).map(({ box, color }) => ({ lines: boxLines(box), color })),
  ]
  const table = camera.forward[2] < 0 ? tableUnder(scene.points) : []
  const fit = fitTo(camera, scene.points, [...wires.flatMap(({ lines }) => lines.flat()), ...table])
  context.fillStyle = '#f0ece4'
  context.beginPath()
  for (const corner of table) context.lineTo(...fit(corner))
  context.fill()
  const order = Array.from({ length: scene.points.length / 3 }, (_, i) => i)
  const depth = order.map(i => dot(camera.forward, at(scene.points, i)))
  order.sort((a, b) => depth[b] - depth[a])
  for (const i of order) {
    const facing = scene.normals ? -dot(camera.forward, at(scene.normals, i)) : 1
    if (facing < 0) continue
    const [x, y] = fit(at(scene.points, i))
    context.globalAlpha = 0.25 + 0.75 * facing
    context.fillStyle = typeof scene.colors === 'string' ? scene.colors : (scene.colors?.[i] ?? '#5b7083')
    context.fillRect(x - 1.5, y - 1.5, 3, 3)
  }
  context.lineWidth = 2.5
  context.lineJoin = 'round'
  for (const { lines, color } of wires) {
    context.strokeStyle = color
    context.globalAlpha = 0.75
    context.beginPath()
    for (const line of lines) {
      for (const [i, point] of line.entries()) {
        const [x, y] = fit(point)
        if (i === 0) context.moveTo(x, y)
        else context.lineTo(x, y)
      }
    }
    context.stroke()
  }
  context.globalAlpha = 1
}

/** Corners of a rectangle of the table around the points' shadow; what floats or sinks is seen against it. */
function tableUnder(points: Float32Array): Vector[] {
  if (points.length === 0) return []
  const [x, y] = [0, 1].map(axis => {
    const values = points.filter((_, i) => i % 3 === axis)
    return [Math.min(...values) - 0.01, Math.max(...values) + 0.01] as const
  })
  return [
    [x[0], y[0], 0],
    [x[1], y[0], 0],
    [x[1], y[1], 0],
    [x[0], y[1], 0],
  ]
}

interface Camera {
  readonly right: Vector
  readonly up: Vector
  /** From the viewer into the picture. */
  readonly forward: Vector
}

function cameraOf({ azimuth, elevation }: View): Camera {
  const [ca, sa] = [Math.cos(azimuth), Math.sin(azimuth)]
  const [ce, se] = [Math.cos(elevation), Math.sin(elevation)]
  return { right: [ca, sa, 0], up: [-sa * se, ca * se, ce], forward: [-sa * ce, ca * ce, -se] }
}

/** Maps places to pixels, so that all points and lines have room. */
function fitTo({ right, up }: Camera, points: Float32Array, more: readonly Vector[]): (p: Vector) => [number, number] {
  const places = [...Array.from({ length: points.length / 3 }, (_, i) => at(points, i)), ...more]
  const range = (axis: Vector) => {
    let [low, high] = [Infinity, -Infinity]
    for (const place of places) {
      low = Math.min(low, dot(axis, place))
      high = Math.max(high, dot(axis, place))
    }
    return [low, high]
  }
  const [x0, x1] = range(right)
  const [y0, y1] = range(up)
  const scale = (CELL - 2 * MARGIN) / Math.max(x1 - x0, y1 - y0, 1e-6)
  return p => [CELL / 2 + scale * (dot(right, p) - (x0 + x1) / 2), CELL / 2 - scale * (dot(up, p) - (y0 + y1) / 2)]
}

/** Lines of a gripper: finger, palm, finger, and the wrist. */
function gripperLines({ position, rotation: r, width }: GraspPose): Vector[][] {
  const half = Math.min(width, PARALLEL_JAW.maxOpening) / 2
  const [back, , , tip] = fingerBox(PARALLEL_JAW, width)
  const place = (along: number, closing: number): Vector => [
    position[0] + r[0] * along + r[1] * closing,
    position[1] + r[3] * along + r[4] * closing,
    position[2] + r[6] * along + r[7] * closing,
  ]
  return [
    [place(tip, -half), place(back, -half), place(back, half), place(tip, half)],
    [place(back, 0), place(back - 0.03, 0)],
  ]
}

/** The edges of a box: both faces, and what joins them. */
function boxLines(box: Box): Vector[][] {
  const [bottom, top] = [-0.5, 0.5].map(side =>
    footprint(box).map(([x, y]): Vector => [x, y, box.center[2] + side * box.size[2]]),
  )
  return [[...bottom, bottom[0]], [...top, top[0]], ...bottom.map((corner, i) => [corner, top[i]])]
}

const at = (points: Float32Array, i: number): Vector => [points[i * 3], points[i * 3 + 1], points[i * 3 + 2]]
const dot = (a: Vector, b: Vector) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
