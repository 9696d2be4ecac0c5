// How often grasps at random points of the surface hold, per object: what any model must beat. Also the time a grade takes.

import { rngKey } from '@ditkit/core'
import { loadObjects } from '../../../apps/train/src/data/objects/objects'
import { gradeGrasp, onTable } from '../../../apps/train/src/grasp/grade'
import { randomSurfaceGrasps } from '../../../apps/train/src/grasp/random-grasp'

const GRASPS = 500
const key = rngKey(0x4241_5345)
const shares: Record<string, number[]> = { train: [], 'held-out': [] }
const reasons = new Map<string, number>()
let milliseconds = 0
for (const [i, object] of loadObjects().entries()) {
  const [surfaceKey, graspKey] = key.foldIn(i).split(2)
  const { points, normals } = object.sample(GRASPS, surfaceKey)
  const scene = onTable(object.bvh)
  const start = performance.now()
  const grades = randomSurfaceGrasps(points, normals, graspKey).map(pose => gradeGrasp(scene, pose))
  milliseconds += performance.now() - start
  for (const grade of grades) {
    const reason = grade.holds ? 'holds' : grade.reason
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  }
  const share = grades.filter(grade => grade.holds).length / GRASPS
  shares[object.entry.split].push(share)
  console.log(`${object.id}: ${(100 * share).toFixed(1)}%`)
}
for (const [split, all] of Object.entries(shares)) {
  console.log(
    `${split}: ${((100 * all.reduce((a, b) => a + b, 0)) / all.length).toFixed(2)}% of random surface grasps hold, mean over ${all.length} objects`,
  )
}
const total = GRASPS * (shares.train.length + shares['held-out'].length)
for (const [reason, count] of [...reasons].sort((a, b) => b[1] - a[1]))
  console.log(`${((100 * count) / total).toFixed(1)}% ${reason}`)
console.log(`${((1000 * milliseconds) / total).toFixed(0)} microseconds per grade`)
