// At most so many points per scene, by one of three policies. What is kept does not depend on the order of the points.

import { hostFarthestPoints, type RngKey, rngKey } from '@ditkit/core'
import { allFinite } from '../all-finite'
import { pointUniforms } from '../point-draws'
import { pointCount, type Scene } from '../scene'
import { SceneError, sceneLabel } from '../scene-error'
import { dropMasked, selectPoints } from '../select-points'
import { voxelRepresentatives } from './voxel'

/**
 * How many points a scene may have, and which are kept when it has more:
 *
 *   'farthest'  each the farthest from those before it, beginning with the one farthest from the centroid: even coverage, the slowest
 *   'random'    each point with the same chance
 *   'voxel'     one point, a random one, of each cell of a grid: even density, fast. `cellSize` is in the points' unit and thins scenes that have
 *               few enough points too; without it the finest grid with at most `count` occupied cells is found, which may keep somewhat fewer
 */
export type PointLimit =
  | { readonly policy: 'farthest'; readonly count: number }
  | { readonly policy: 'random'; readonly count: number; readonly seed?: number }
  | { readonly policy: 'voxel'; readonly count: number; readonly cellSize?: number; readonly seed?: number }

/**
 * The scene with at most `limit.count` points, all per-point fields with them; masked points are dropped first. The points come in an order of the policy's
 * own: 'farthest' as they were picked, so that any number of the first ones covers the scene; 'random' and 'voxel' in random order. A scene that is left
 * whole keeps its order. `key` stands for `rngKey(limit.seed ?? 0)`: one of an epoch and scene draws anew in each.
 *
 * Throws a SceneError for an object without points where there must be some, a RangeError for options that make no sense.
 */
export function limitPoints(scene: Scene, limit: PointLimit, key?: RngKey): Scene {
  const { policy, count } = limit
  if (!Number.isInteger(count) || count < 1)
    throw new RangeError(`limitPoints: count is ${count}, expected a whole number of at least 1`)
  const whole = dropMasked(scene)
  if (!allFinite(whole.points))
    throw new SceneError(
      sceneLabel(scene),
      'points',
      'has NaN or infinite numbers; drop them first (dropInvalidPoints)',
    )
  const thins = policy === 'voxel' && limit.cellSize !== undefined
  if (pointCount(whole) <= count && !thins) return whole
  if (policy === 'farthest') return selectPoints(whole, hostFarthestPoints(whole.points, count))
  if (policy !== 'random' && policy !== 'voxel')
    throw new RangeError(`limitPoints: policy is ${JSON.stringify(policy)}, expected 'farthest', 'random' or 'voxel'`)
  const draws = pointUniforms(whole.points, key ?? rngKey(limit.seed ?? 0))
  const order = byDraw(whole, draws)
  const candidates = policy === 'voxel' ? voxelRepresentatives(whole.points, order, count, limit.cellSize) : order
  return selectPoints(whole, candidates.subarray(0, count))
}

/** The points in the order of their draws. Those at one place have the same one; they go by their fields. */
function byDraw(scene: Scene, draws: Float64Array): Int32Array {
  const fields = Object.entries(scene.fields ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  const byFields = (i: number, j: number) => {
    for (const [, { data, width }] of fields) {
      for (let c = 0; c < width; c++) {
        const difference = data[i * width + c] - data[j * width + c]
        if (difference !== 0) return difference
      }
    }
    return 0
  }
  const order = Int32Array.from(draws, (_, i) => i)
  return order.sort((i, j) => draws[i] - draws[j] || byFields(i, j))
}
