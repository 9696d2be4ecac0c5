// The baseline that a model must beat: grasps at random points of the surface, straight in against the normal, the fingers
// at a random angle and fully open.

import { hostUniform, type RngKey } from '@ditkit/core'
import { around } from './derive'
import { PARALLEL_JAW } from './gripper'
import { type GraspPose, poseFromAxes } from './pose'

/** One grasp per point of a sampled surface; points and outward normals [P, 3]. A function of the key. */
export function randomSurfaceGrasps(points: Float32Array, normals: Float32Array, key: RngKey): GraspPose[] {
  const angles = hostUniform(key, points.length / 3)
  return Array.from(angles, (u, i) => {
    const [x, y, z] = points.subarray(i * 3, i * 3 + 3)
    const approach = normals.subarray(i * 3, i * 3 + 3).map(value => -value)
    return poseFromAxes([x, y, z], approach, around(approach, 2 * Math.PI * u), PARALLEL_JAW.maxOpening)
  })
}
