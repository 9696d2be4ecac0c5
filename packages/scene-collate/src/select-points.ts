// Takes points out of a scene, every per-point field with them.

import { type Field, type FieldData, pointCount, type Scene, type SetField } from './scene'

/** The scene with the points `indices` only, in that order, and no mask. Sets, vectors and texts stay. */
export function selectPoints(scene: Scene, indices: ArrayLike<number>): Scene {
  const { mask: _, fields, ...rest } = scene
  return {
    ...rest,
    points: selectRows(scene.points, 3, indices) as Float32Array,
    ...(fields && {
      fields: mapFields(fields, field => ({ ...field, data: selectRows(field.data, field.width, indices) })),
    }),
  }
}

/** Rows `indices` of `data`, rows of `width` numbers. */
export function selectRows(data: FieldData, width: number, indices: ArrayLike<number>): FieldData {
  const out = new (data.constructor as Float32ArrayConstructor)(indices.length * width)
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i] * width
    for (let c = 0; c < width; c++) out[i * width + c] = data[from + c]
  }
  return out
}

/** The scene without what its masks exclude, points and rows of sets; the same object where nothing is excluded. */
export function dropMasked(scene: Scene): Scene {
  let result = scene
  if (scene.mask) result = selectPoints(scene, validRows(scene.mask))
  if (Object.values(scene.sets ?? {}).some(set => set.mask)) {
    result = { ...result, sets: mapFields(scene.sets!, dropMaskedRows) }
  }
  return result
}

/** The scene without the points that hold NaN or ±Infinity, in position or field. */
export function dropInvalidPoints(scene: Scene): Scene {
  const count = pointCount(scene)
  const columns = [{ data: scene.points, width: 3 } as Field, ...Object.values(scene.fields ?? {})]
  const valid = new Uint8Array(count).fill(1)
  for (const { data, width } of columns) {
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) valid[Math.floor(i / width)] = 0
  }
  if (!valid.includes(0)) return scene
  if (scene.mask) for (let i = 0; i < count; i++) if (!scene.mask[i]) valid[i] = 0
  return selectPoints(scene, validRows(valid))
}

/** Each field through `change`, under its name. */
export function mapFields<F, G>(fields: Readonly<Record<string, F>>, change: (field: F, name: string) => G) {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, change(field, name)]))
}

function dropMaskedRows({ mask, ...set }: SetField): SetField {
  return mask ? { ...set, data: selectRows(set.data, set.width, validRows(mask)) } : set
}

function validRows(mask: ArrayLike<number>): Int32Array {
  let count = 0
  for (let i = 0; i < mask.length; i++) if (mask[i]) count++
  const rows = new Int32Array(count)
  for (let i = 0, row = 0; i < mask.length; i++) if (mask[i]) rows[row++] = i
  return rows
}
