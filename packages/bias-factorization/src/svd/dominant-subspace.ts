// The leading singular directions of a bias matrix by randomized subspace iteration (Halko, Martinsson and Tropp 2011,
// arXiv:0909.4061): the large products on the device, the small dense algebra on the host in float64.

import {
  concat,
  linear,
  matmul,
  mul,
  normal,
  type RngKey,
  scope,
  scopeAsync,
  type Tensor,
  transpose,
  unscoped,
} from '@ditkit/core'
import type { BiasMatrix } from './bias-matrix'
import { orthonormalRows } from './orthonormal-rows'
import { symmetricEigen } from './symmetric-eigen'

/** Directions carried along beyond the rank looked for; with them a pass or two are enough. */
export const OVERSAMPLING = 8

/** query [rows, R] and key [columns, R] */
export interface MatrixFactors {
  readonly query: Tensor
  readonly key: Tensor
}

/** An orthonormal basis of a subspace of the shorter side, and the matrix seen in it. Dispose it. */
export class DominantSubspace {
  /** Squares of the singular values within the subspace, largest first: none is above the matrix's own. */
  values: Float64Array = new Float64Array(0)
  /** Directions in the subspace. */
  size = 0
  /** [size, shorter side], orthonormal rows */
  private basis: Tensor | undefined
  /** basis·A, [size, longer side] */
  private image: Tensor | undefined
  private vectors: Float64Array = new Float64Array(0)
  private readonly wide: boolean

  constructor(private readonly matrix: BiasMatrix) {
    this.wide = matrix.rows <= matrix.columns
  }

  /** The most directions there can be. */
  get most(): number {
    return Math.min(this.matrix.rows, this.matrix.columns)
  }

  /** All directions, without iteration: the full decomposition, for matrices whose shorter side is small. */
  async takeAll(): Promise<void> {
    const n = this.most
    await this.settle(
      Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
      n,
    )
  }

  /** Turns the subspace towards the leading directions, once, and adds random ones until it has `size`. */
  async improve(size: number, key: RngKey): Promise<void> {
    const count = Math.min(size, this.most)
    const rows = await scopeAsync(async s => {
      const sketch = s.run(() => {
        const { device, dtype, rows, columns } = this.matrix
        const fresh = count - this.size
        const longer = this.wide ? columns : rows
        const random = fresh > 0 ? normal(device, [fresh, longer], key, { dtype }) : undefined
        const images = [this.image, random].filter(t => t !== undefined)
        return this.toShorter(images.length === 1 ? images[0] : concat(images, 0))
      })
      return Float64Array.from(await sketch.data())
    })
    await this.settle(orthonormalRows(rows, count, this.most), count)
  }

  /** The best factors of rank R within the subspace, of equal size; the caller disposes them. */
  factors(rank: number): MatrixFactors {
    return scope(() => {
      const { device, dtype } = this.matrix
      const [basis, image] = [this.basis as Tensor, this.image as Tensor]
      const directions = device.tensor(this.vectors.slice(0, rank * this.size), [rank, this.size], { dtype })
      const roots = Float64Array.from({ length: rank }, (_, r) => Math.max(0, this.values[r]) ** 0.25)
      const columnOf = (values: Float64Array) => device.tensor(values, [rank, 1], { dtype })
      const left = mul(matmul(directions, basis), columnOf(roots))
      const right = mul(matmul(directions, image), columnOf(roots.map(x => (x > 0 ? 1 / x : 0))))
      const [query, key] = this.wide ? [left, right] : [right, left]
      return { query: transpose(query), key: transpose(key) }
    })
  }

  dispose(): void {
    this.basis?.dispose()
    this.image?.dispose()
  }

  private toLonger(x: Tensor): Tensor {
    return this.wide ? this.matrix.timesColumns(x) : this.matrix.timesRows(x)
  }

  private toShorter(x: Tensor): Tensor {
    return this.wide ? this.matrix.timesRows(x) : this.matrix.timesColumns(x)
  }

  /** Takes a new basis, and finds the singular values and vectors in it. */
  private async settle(rows: Float64Array, count: number): Promise<void> {
    const { device, dtype } = this.matrix
    this.dispose()
    const { basis, image, products } = unscoped(() =>
      scope(() => {
        const basis = device.tensor(rows, [count, this.most], { dtype })
        const image = this.toLonger(basis)
        return { basis, image, products: linear(image, image) }
      }),
    )
    this.basis = basis
    this.image = image
    this.size = count
    const { values, vectors } = symmetricEigen(await products.data(), count)
    products.dispose()
    this.values = values
    this.vectors = vectors
  }
}
