// Rows made orthonormal, on the host, by Gram and Schmidt's process done twice, after which they are so to rounding (Giraud et al. 2005).

/** The span of `count` rows of `width` numbers, in place. A row that depends on those before it becomes 0. */
export function orthonormalRows(rows: Float64Array, count: number, width: number): Float64Array {
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * width, (i + 1) * width)
    const before = Math.sqrt(dot(row, row))
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const other = rows.subarray(j * width, (j + 1) * width)
        const share = dot(row, other)
        for (let k = 0; k < width; k++) row[k] -= share * other[k]
      }
    }
    const left = Math.sqrt(dot(row, row))
    // What is left of a dependent row is rounding, of which no direction is to be made.
    const factor = left > 1e-10 * before ? 1 / left : 0
    for (let k = 0; k < width; k++) row[k] *= factor
  }
  return rows
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k]
  return sum
}
