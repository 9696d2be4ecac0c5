// Normalisation: moves that bring a scene, or all scenes of a dataset, to the origin and to size 1, and can be undone.

import type { Dataset } from './loader/dataset'
import type { Scene, SceneTransform } from './scene'
import { SceneError, sceneLabel } from './scene-error'
import { dropMasked } from './select-points'
import { applyTransform } from './transform'

export interface NormaliseOptions {
  /** What moves to the origin: the mean of the points (default), the middle of their box, or nothing. */
  readonly centre?: 'mean' | 'box' | 'none'
  /** What becomes 1: the largest distance of a point from the centre (default), the root mean square of the coordinates, or nothing. */
  readonly scale?: 'radius' | 'rms' | 'none'
}

/**
 * The scene, normalised; `applyTransform(scene, invertTransform(scene.transform))` undoes it, and `transformValues` does for poses. Points that are all at one place
 * keep their scale. Throws a SceneError for a scene without points.
 */
export function normaliseScene(scene: Scene, options: NormaliseOptions = {}): Scene {
  return applyTransform(scene, sceneNormaliser(scene, options))
}

/** The move that normalises this scene. */
export function sceneNormaliser(scene: Scene, options: NormaliseOptions = {}): SceneTransform {
  const { points } = dropMasked(scene)
  const centre = new Centre(options)
  centre.add(points)
  if (centre.count === 0) throw new SceneError(sceneLabel(scene), 'points', 'is empty; there is nothing to normalise')
  const spread = new Spread(centre.value())
  spread.add(points)
  return spread.transform(options)
}

/** One move for all scenes of a dataset, which is read twice, one scene at a time. Keeps the sizes of scenes comparable. */
export async function datasetNormaliser(dataset: Dataset, options: NormaliseOptions = {}): Promise<SceneTransform> {
  const centre = new Centre(options)
  for (let i = 0; i < dataset.length; i++) centre.add(dropMasked(await dataset.get(i)).points)
  if (centre.count === 0) throw new SceneError('datasetNormaliser', 'points', 'the dataset has none')
  const spread = new Spread(centre.value())
  for (let i = 0; i < dataset.length; i++) spread.add(dropMasked(await dataset.get(i)).points)
  return spread.transform(options)
}

class Centre {
  count = 0
  private readonly sum = [0, 0, 0]
  private readonly low = [Infinity, Infinity, Infinity]
  private readonly high = [-Infinity, -Infinity, -Infinity]

  constructor(private readonly options: NormaliseOptions) {}

  add(points: Float32Array): void {
    for (let i = 0; i < points.length; i++) {
      const axis = i % 3
      this.sum[axis] += points[i]
      this.low[axis] = Math.min(this.low[axis], points[i])
      this.high[axis] = Math.max(this.high[axis], points[i])
    }
    this.count += points.length / 3
  }

  value(): number[] {
    const { centre = 'mean' } = this.options
    if (centre === 'none') return [0, 0, 0]
    if (centre === 'box') return this.low.map((low, axis) => (low + this.high[axis]) / 2)
    return this.sum.map(sum => sum / this.count)
  }
}

class Spread {
  private farthest = 0
  private squares = 0
  private count = 0

  constructor(private readonly centre: readonly number[]) {}

  add(points: Float32Array): void {
    const [x, y, z] = this.centre
    for (let i = 0; i < points.length; i += 3) {
      const square = (points[i] - x) ** 2 + (points[i + 1] - y) ** 2 + (points[i + 2] - z) ** 2
      this.farthest = Math.max(this.farthest, square)
      this.squares += square
    }
    this.count += points.length
  }

  transform({ scale: kind = 'radius' }: NormaliseOptions): SceneTransform {
    const size = kind === 'none' ? 1 : Math.sqrt(kind === 'radius' ? this.farthest : this.squares / this.count)
    const scale = size > 0 ? 1 / size : 1
    const [x, y, z] = this.centre
    return { rotation: [1, 0, 0, 0], scale, translation: [-scale * x, -scale * y, -scale * z] }
  }
}
