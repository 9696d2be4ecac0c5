// Farthest-point sampling of many scenes at once on a device.

import { type Device, disposeAll, farthestPoints } from '@ditkit/core'
import { collateScenes } from '../collate'
import { pointCount, type Scene } from '../scene'
import { dropMasked, selectPoints } from '../select-points'

/**
 * The scenes with at most `count` points each, as `limitPoints` with the policy 'farthest' gives them, chosen by the device: the same points, on the CPU's native
 * kernels many times faster than on the host. Throws a SceneError as `checkScene` does.
 */
export async function farthestOnDevice(scenes: readonly Scene[], count: number, device: Device): Promise<Scene[]> {
  const whole = scenes.map(dropMasked)
  const long = whole.filter(scene => pointCount(scene) > count)
  if (long.length === 0) return whole
  const batch = collateScenes(long.map(({ name, points }) => ({ name, points })))
  const points = device.tensor(batch.points.data, batch.points.shape)
  const mask = device.tensor(batch.points.mask, batch.points.shape.slice(0, 2))
  const chosen = farthestPoints(points, count, { mask })
  try {
    const indices = (await chosen.indices.data()) as Int32Array
    const limited = long.map((scene, b) => selectPoints(scene, indices.subarray(b * count, (b + 1) * count)))
    return whole.map(scene => (pointCount(scene) > count ? limited.shift()! : scene))
  } finally {
    disposeAll([points, mask, chosen.indices, chosen.mask])
  }
}
