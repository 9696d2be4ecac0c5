// Moving a scene: points, and whatever its parts say moves with them. p ↦ scale · R · p + translation.

import { type Field, type Part, partsOf, partWidth, type Scene, type SceneTransform } from './scene'
import { mapFields } from './select-points'

export const IDENTITY: SceneTransform = { rotation: [1, 0, 0, 0], scale: 1, translation: [0, 0, 0] }

type Vector = readonly [number, number, number]
type Quaternion = readonly [number, number, number, number]

/**
 * The scene, moved: points and positions fully, directions and rotations turned, lengths scaled. `scene.transform` of the result
 * has the move added, so that `applyTransform(result, invertTransform(result.transform))` is the scene as it was read.
 */
export function applyTransform(scene: Scene, transform: SceneTransform): Scene {
  const move = <F extends Field>(field: F, parts = field.parts): F => {
    const moves = parts?.some(part => typeof part !== 'number')
    return moves ? { ...field, data: transformValues(field.data as Float32Array, parts!, transform) } : field
  }
  return {
    ...scene,
    points: transformValues(scene.points, ['position'], transform),
    ...(scene.fields && { fields: mapFields(scene.fields, (field, name) => move(field, partsOf(name, field))) }),
    ...(scene.sets && { sets: mapFields(scene.sets, set => move(set)) }),
    ...(scene.vectors && { vectors: mapFields(scene.vectors, vector => move(vector)) }),
    transform: composeTransforms(scene.transform ?? IDENTITY, transform),
  }
}

/**
 * Rows whose columns are `parts`, moved, in a new array: for poses that belong to no scene object, such as those a model generated
 * (with `invertTransform(batch.transforms[b])`: back to where the scene was read).
 */
export function transformValues(data: Float32Array, parts: readonly Part[], transform: SceneTransform): Float32Array {
  const width = parts.reduce<number>((sum, part) => sum + partWidth(part), 0)
  if (data.length % width !== 0)
    throw new RangeError(
      `transformValues: ${data.length} numbers are no rows of ${width} (parts [${parts.join(', ')}])`,
    )
  const out = data.slice()
  const m = rotationMatrix(transform.rotation)
  const { scale, translation } = transform
  let column = 0
  for (const part of parts) {
    for (let at = column; at < data.length; at += width) {
      if (part === 'position') turn(m, out, at, scale, translation)
      else if (part === 'direction') turn(m, out, at)
      else if (part === 'rotation-6d') {
        turn(m, out, at)
        turn(m, out, at + 3)
      } else if (part === 'quaternion-wxyz') turnQuaternion(transform.rotation, out, at, 0)
      else if (part === 'quaternion-xyzw') turnQuaternion(transform.rotation, out, at, 3)
      else if (part === 'length') out[at] *= scale
    }
    column += partWidth(part)
  }
  return out
}

/** First `first`, then `second`. */
export function composeTransforms(first: SceneTransform, second: SceneTransform): SceneTransform {
  const moved = Float64Array.from(first.translation)
  turn(rotationMatrix(second.rotation), moved, 0, second.scale, second.translation)
  return {
    rotation: multiplyQuaternions(second.rotation, first.rotation),
    scale: first.scale * second.scale,
    translation: [moved[0], moved[1], moved[2]],
  }
}

/** The move that undoes `transform`. Throws a RangeError for a scale of 0, which nothing undoes. */
export function invertTransform({ rotation, scale, translation }: SceneTransform): SceneTransform {
  if (!(scale > 0)) throw new RangeError(`invertTransform: the scale is ${scale}, expected a number above 0`)
  const [w, x, y, z] = rotation
  const back: Quaternion = [w, -x, -y, -z]
  const moved = Float64Array.from(translation)
  turn(rotationMatrix(back), moved, 0, -1 / scale)
  return { rotation: back, scale: 1 / scale, translation: [moved[0], moved[1], moved[2]] }
}

/** Nine entries, row-major, of the rotation of a unit quaternion (w, x, y, z). */
function rotationMatrix([w, x, y, z]: Quaternion): readonly number[] {
  // biome-ignore format: a matrix
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
  ]
}

/** Three numbers of `data` from `at` on become scale · M · v + shift. */
function turn(
  m: readonly number[],
  data: Float32Array | Float64Array,
  at: number,
  scale = 1,
  shift: Vector = [0, 0, 0],
) {
  const [x, y, z] = [data[at], data[at + 1], data[at + 2]]
  data[at] = scale * (m[0] * x + m[1] * y + m[2] * z) + shift[0]
  data[at + 1] = scale * (m[3] * x + m[4] * y + m[5] * z) + shift[1]
  data[at + 2] = scale * (m[6] * x + m[7] * y + m[8] * z) + shift[2]
}

/** Four numbers of `data` from `at` on, a quaternion whose real part is at place `real` (0 or 3), turned by `q`. */
function turnQuaternion(q: Quaternion, data: Float32Array, at: number, real: 0 | 3): void {
  const imaginary = at + (real === 0 ? 1 : 0)
  const turned = multiplyQuaternions(q, [data[at + real], data[imaginary], data[imaginary + 1], data[imaginary + 2]])
  data[at + real] = turned[0]
  for (let i = 0; i < 3; i++) data[imaginary + i] = turned[i + 1]
}

function multiplyQuaternions(a: Quaternion, b: Quaternion): Quaternion {
  return [
    a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
    a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
    a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
    a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
  ]
}
