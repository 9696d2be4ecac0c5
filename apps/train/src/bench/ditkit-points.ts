// Selection of points on ditkit's side, on a device or on the host.

import {
  ballQuery,
  type Device,
  farthestPoints,
  hostBallQuery,
  hostFarthestPoints,
  hostNearestPoints,
  nearestPoints,
  rngKey,
  scope,
  uniform,
} from '@ditkit/core'
import type { Work } from './ditkit-subject'
import { BALL_RADIUS, type PointsProblem } from './problem'

export function pointsWork(device: Device, problem: PointsProblem): Work {
  const select = problem.host ? onHost(problem) : onDevice(device, problem)
  return {
    enqueue(times) {
      for (let i = 0; i < times; i++) select()
    },
  }
}

/** Clouds in the unit cube; the queries are points of another draw. */
function onDevice(device: Device, { op, batch, points, queries, count }: PointsProblem): () => void {
  const [a, b] = rngKey(0).split(2)
  const cloud = uniform(device, [batch, points, 3], a)
  const from = uniform(device, [batch, queries, 3], b)
  const run = {
    farthest: () => farthestPoints(cloud, count),
    nearest: () => nearestPoints(from, cloud, count),
    ball: () => ballQuery(from, cloud, BALL_RADIUS, count),
  }[op]
  return () =>
    scope(() => {
      run()
    })
}

function onHost({ op, batch, points, queries, count }: PointsProblem): () => void {
  const draw = (size: number) => Float32Array.from({ length: 3 * size }, Math.random)
  const clouds = Array.from({ length: batch }, () => ({ cloud: draw(points), from: draw(queries) }))
  return () => {
    for (const { cloud, from } of clouds) {
      if (op === 'farthest') hostFarthestPoints(cloud, count)
      else if (op === 'nearest') hostNearestPoints(from, cloud, count)
      else hostBallQuery(from, cloud, BALL_RADIUS, count)
    }
  }
}
