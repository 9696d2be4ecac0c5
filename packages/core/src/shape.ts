// Shapes and strides: the arithmetic every op starts with. Strides count elements.

export type Shape = readonly number[]

export function sizeOf(shape: Shape): number {
  let size = 1
  for (let axis = 0; axis < shape.length; axis++) size *= shape[axis]
  return size
}

export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride
    // An empty axis must not make strides of 0, which mean broadcast.
    stride *= Math.max(shape[axis], 1)
  }
  return strides
}

/** Whether a view of these strides is row-major without gaps. Axes of size 1 may have any stride. */
export function isContiguous(shape: Shape, strides: Shape): boolean {
  let expected = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 0) return true
    if (shape[axis] !== 1 && strides[axis] !== expected) return false
    expected *= shape[axis]
  }
  return true
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let axis = 0; axis < a.length; axis++) if (a[axis] !== b[axis]) return false
  return true
}

export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`
}

export function checkShape(op: string, shape: Shape): void {
  if (!Array.isArray(shape)) throw new TypeError(`${op}: the shape must be an array of sizes, got ${typeof shape}`)
  for (let axis = 0; axis < shape.length; axis++) {
    const n = shape[axis]
    if (!Number.isInteger(n) || n < 0) {
      throw new RangeError(`${op}: shape ${showShape(shape)} has a size that is not a whole number ≥ 0`)
    }
  }
  if (shape.length > 8)
    throw new RangeError(`${op}: shape ${showShape(shape)} has ${shape.length} axes, at most 8 are allowed`)
}

/** NumPy's broadcasting: shapes aligned right, axes equal or 1. Throws naming both shapes. */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a
  const rank = Math.max(a.length, b.length)
  const shape = new Array<number>(rank)
  for (let i = 1; i <= rank; i++) {
    const na = a[a.length - i] ?? 1
    const nb = b[b.length - i] ?? 1
    if (na !== nb && na !== 1 && nb !== 1) {
      throw new RangeError(
        `${op}: shapes ${showShape(a)} and ${showShape(b)} do not broadcast: axis −${i} is ${na} and ${nb} (they must be equal, or one of them 1)`,
      )
    }
    shape[rank - i] = na === 1 ? nb : na
  }
  return shape
}

/** An axis counted from the end when negative; throws when the tensor has no such axis. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  const index = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(index) || index < 0 || index >= rank) {
    throw new RangeError(
      `${op}: axis ${axis} does not exist in a tensor of rank ${rank} (expected ${-rank} … ${rank - 1})`,
    )
  }
  return index
}

export function normalizeAxes(op: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, axis) => axis)
  const list = (typeof axes === 'number' ? [axes] : axes).map(axis => normalizeAxis(op, axis, rank))
  if (new Set(list).size !== list.length) throw new RangeError(`${op}: an axis is named twice in [${list.join(', ')}]`)
  return list
}
