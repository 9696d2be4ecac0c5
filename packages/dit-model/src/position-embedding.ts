// Fixed 2-D sin-cos positions, as in MAE (He et al. 2022) and facebookresearch/DiT: the first half of the channels says
// the column, the second the row.

/**
 * [height·width, dim] in row-major order of the grid, evaluated in float64. Each half holds dim/4 sines, then dim/4
 * cosines, of frequencies 10000^(−k/(dim/4)).
 * @throws RangeError unless 4 divides dim.
 */
export function sinCosPositions(dim: number, height: number, width: number): Float64Array {
  if (dim % 4 !== 0) throw new RangeError(`sinCosPositions: the width ${dim} must be a multiple of 4`)
  const quarter = dim / 4
  const table = new Float64Array(height * width * dim)
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = (row * width + column) * dim
      for (let k = 0; k < quarter; k++) {
        const frequency = 1 / 10000 ** (k / quarter)
        table[at + k] = Math.sin(column * frequency)
        table[at + quarter + k] = Math.cos(column * frequency)
        table[at + 2 * quarter + k] = Math.sin(row * frequency)
        table[at + 3 * quarter + k] = Math.cos(row * frequency)
      }
    }
  }
  return table
}
