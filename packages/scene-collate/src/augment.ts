// Augmentation: a scene turned about its up axis, scaled, jittered and thinned, its poses with it.

import { hostUniform, type RngKey } from '@ditkit/core'
import { pointNormals, pointUniforms } from './point-draws'
import { pointCount, type Scene, type SceneTransform } from './scene'
import { dropMasked, selectPoints } from './select-points'
import { applyTransform } from './transform'

export interface AugmentOptions {
  /** Turn about the up axis through the origin: by any angle (true), or one between two in radians. */
  readonly rotate?: boolean | readonly [number, number]
  /** Default 'z'. */
  readonly up?: 'x' | 'y' | 'z'
  /** Scale about the origin by a factor between two, uniform in its logarithm. */
  readonly scale?: readonly [number, number]
  /** Standard deviation of what is added to each coordinate of each point, before the scene is scaled. */
  readonly jitter?: number
  /** Chance of each point to be left out, from 0 to below 1; at least one stays. */
  readonly dropout?: number
}

/**
 * The scene, augmented: a function of the scene and the key alone, and of no point's number (what happens to a point depends on its place). Positions, normals,
 * rotations and lengths of fields, sets and vectors turn and scale with the points, as their `parts` say; jitter and dropout concern points only. What turning and scaling did is
 * added to `scene.transform`.
 */
export function augmentScene(scene: Scene, options: AugmentOptions, key: RngKey): Scene {
  checkAugment(options)
  const { rotate = false, up = 'z', scale = [1, 1], jitter = 0, dropout = 0 } = options
  const [turnKey, jitterKey, dropoutKey] = key.split(3)
  let result = dropMasked(scene)
  if (dropout > 0) result = dropPoints(result, dropout, dropoutKey)
  if (jitter > 0) {
    const noise = pointNormals(result.points, jitterKey)
    result = { ...result, points: result.points.map((value, i) => value + jitter * noise[i]) }
  }
  if (rotate === false && !options.scale) return result
  const [low, high] = rotate === true ? [0, 2 * Math.PI] : rotate || [0, 0]
  const [u, v] = hostUniform(turnKey, 2)
  return applyTransform(result, {
    rotation: turnAbout(up, low + u * (high - low)),
    scale: scale[0] * (scale[1] / scale[0]) ** v,
    translation: [0, 0, 0],
  })
}

function dropPoints(scene: Scene, share: number, key: RngKey): Scene {
  const draws = pointUniforms(scene.points, key)
  let kept = Int32Array.from(draws, (_, i) => i).filter(i => draws[i] >= share)
  if (kept.length === 0) {
    const most = draws.reduce((best, draw) => Math.max(best, draw), 0)
    kept = Int32Array.of(draws.indexOf(most))
  }
  return kept.length === pointCount(scene) ? scene : selectPoints(scene, kept)
}

function turnAbout(up: 'x' | 'y' | 'z', angle: number): SceneTransform['rotation'] {
  const [w, s] = [Math.cos(angle / 2), Math.sin(angle / 2)]
  return up === 'x' ? [w, s, 0, 0] : up === 'y' ? [w, 0, s, 0] : [w, 0, 0, s]
}

/** Throws a RangeError for options that make no sense. */
export function checkAugment({ rotate, up = 'z', scale, jitter = 0, dropout = 0 }: AugmentOptions): void {
  const fail = (option: string, value: unknown, expected: string) => {
    throw new RangeError(`augmentScene: ${option} is ${JSON.stringify(value)}, expected ${expected}`)
  }
  if (Array.isArray(rotate) && !(rotate.length === 2 && rotate[0] <= rotate[1]))
    fail('rotate', rotate, 'two angles, the lesser first')
  if (!['x', 'y', 'z'].includes(up)) fail('up', up, "'x', 'y' or 'z'")
  if (scale && !(scale.length === 2 && scale[0] > 0 && scale[0] <= scale[1] && scale[1] < Infinity))
    fail('scale', scale, 'two factors above 0, the lesser first')
  if (!(jitter >= 0 && jitter < Infinity)) fail('jitter', jitter, 'a number of at least 0')
  if (!(dropout >= 0 && dropout < 1)) fail('dropout', dropout, 'a number from 0 to below 1')
}
