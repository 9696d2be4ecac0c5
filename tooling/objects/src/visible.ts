// Which triangles can be seen from outside, and from which side: rays that leave a triangle and meet nothing more. What
// cannot be seen is dropped, what is seen from behind is turned over, so that normals point outward.

import { hostUniform, type RngKey } from '@ditkit/core'
import type { Mesh } from '@ditkit/scene-collate'
import { Bvh } from '../../../apps/train/src/grasp/bvh'

/** Rays from each side of a triangle. */
const RAYS = 16

export function outside(mesh: Mesh, key: RngKey): Mesh {
  const { vertices: p, faces } = mesh
  const bvh = new Bvh(mesh)
  const kept: number[] = []
  for (let t = 0; t < faces.length / 3; t++) {
    const [a, b, c] = faces.subarray(t * 3, t * 3 + 3)
    const [u, v] = [b, c].map(corner => [0, 1, 2].map(k => p[corner * 3 + k] - p[a * 3 + k]))
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    const length = Math.hypot(...normal)
    if (length === 0) continue
    const chance = hostUniform(key.foldIn(t), RAYS * 4)
    let [front, back] = [0, 0]
    for (let ray = 0; ray < RAYS; ray++) {
      const [s, r, h, angle] = chance.subarray(ray * 4, ray * 4 + 4)
      const [su, sv] = s + r > 1 ? [1 - s, 1 - r] : [s, r]
      const height = 2 * h - 1
      const flat = Math.sqrt(1 - height * height)
      const direction = [flat * Math.cos(2 * Math.PI * angle), flat * Math.sin(2 * Math.PI * angle), height]
      const origin = [0, 1, 2].map(k => p[a * 3 + k] + su * u[k] + sv * v[k])
      for (const side of [1, -1]) {
        const away = direction.map(d => side * d)
        if (bvh.visitRay(origin, away, (distance, other) => other !== t && distance > 1e-7)) continue
        if (away[0] * normal[0] + away[1] * normal[1] + away[2] * normal[2] > 0) front++
        else back++
      }
    }
    if (front === 0 && back === 0) continue
    kept.push(...(back > front ? [a, c, b] : [a, b, c]))
  }
  return { vertices: p, faces: Int32Array.from(kept) }
}
