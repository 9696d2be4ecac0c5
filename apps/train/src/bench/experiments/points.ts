// Selection of points: a scene's cloud brought down to tokens, and their neighbourhoods; and the many small clouds of a batch.

import type { Experiment, Side } from '../experiment'
import type { PointsProblem } from '../problem'
import type { Machine } from './machine'

/** A scene. */
const SCENE = { kind: 'points', batch: 1, points: 20_000, count: 32, queries: 1024 } as const
/** A batch of objects, as PointNet++ takes them. */
const OBJECTS = { kind: 'points', batch: 32, points: 1024, count: 32, queries: 256 } as const

export function points(machine: Machine): Experiment[] {
  return [SCENE, OBJECTS].flatMap(clouds => [
    selection(machine, { ...clouds, op: 'farthest', count: clouds.queries, queries: 0 }),
    selection(machine, { ...clouds, op: 'nearest' }),
    selection(machine, { ...clouds, op: 'ball' }),
  ])
}

function selection({ threads }: Machine, problem: PointsProblem): Experiment {
  const { op, batch, points, queries, count } = problem
  const clouds = `${batch} × ${points.toLocaleString('en')} points`
  const work = {
    farthest: `farthest points, ${clouds} → ${count.toLocaleString('en')}`,
    nearest: `nearest ${count} of ${clouds}, ${queries.toLocaleString('en')} queries`,
    ball: `ball query, ${count} of ${clouds}, ${queries.toLocaleString('en')} queries`,
  }[op]
  const sides: { [name: string]: Side } = {
    ditkit: { by: 'ditkit' },
    ...(threads > 1 && { '1 thread': { by: 'ditkit', threads: 1 } }),
    host: { by: 'ditkit', change: { host: true } },
    torch: { by: 'torch' },
  }
  return {
    name: `points ${op} ${batch}x${points}`,
    group: 'points',
    problem,
    sides,
    rows: [
      { work, ours: 'ditkit', against: 'torch', atLeast: 5 },
      { work: `${work}: in TypeScript on the host`, ours: 'host', against: 'torch' },
      ...(threads > 1 ? [{ work: `${work}: 1 → ${threads} threads`, ours: 'ditkit', against: '1 thread' }] : []),
    ],
  }
}
