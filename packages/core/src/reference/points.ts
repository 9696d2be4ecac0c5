// Selection of points, sample by sample, by what core gives hosts without a device.

import { selectFarthest } from '../points/farthest'
import { selectNearest } from '../points/nearest'
import { load, store, type View } from './view'

/** Sample `b` of rows [B, …]. */
function sample<T extends Float32Array | Float64Array>(values: T, b: number, batch: number): T {
  const size = values.length / batch
  return values.subarray(b * size, (b + 1) * size) as T
}

export function farthestPoints(points: View, mask: View, indices: View, valid: View): void {
  const [batch, count] = indices.shape
  const positions = Float32Array.from(load(points))
  const usable = load(mask)
  const chosen = new Float64Array(batch * count)
  const filled = new Float64Array(batch * count)
  for (let b = 0; b < batch; b++) {
    const found = selectFarthest(sample(positions, b, batch), sample(usable, b, batch), count)
    chosen.set(found, b * count)
    filled.fill(1, b * count, b * count + found.length)
  }
  store(indices, chosen)
  store(valid, filled)
}

export function nearestPoints(
  queries: View,
  points: View,
  queryMask: View,
  mask: View,
  maxSquaredDistance: number,
  indices: View,
  squaredDistances: View,
  valid: View,
): void {
  const [batch, queryCount, count] = indices.shape
  const from = Float32Array.from(load(queries))
  const to = Float32Array.from(load(points))
  const [fromUsable, toUsable] = [load(queryMask), load(mask)]
  const results = [indices, squaredDistances, valid].map(() => new Float64Array(batch * queryCount * count))
  for (let b = 0; b < batch; b++) {
    const found = selectNearest(
      sample(from, b, batch),
      sample(to, b, batch),
      sample(fromUsable, b, batch),
      sample(toUsable, b, batch),
      maxSquaredDistance,
      count,
    )
    results[0].set(found.indices, b * queryCount * count)
    results[1].set(found.squaredDistances, b * queryCount * count)
    results[2].set(found.mask, b * queryCount * count)
  }
  store(indices, results[0])
  store(squaredDistances, results[1])
  store(valid, results[2])
}
