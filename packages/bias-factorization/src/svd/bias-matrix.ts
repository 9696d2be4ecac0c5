// One matrix of a bias, on the device, as the factorization sees it: it can be multiplied from either side and compared with
// factors, block by block, so that nothing of its size is made beside it. What is blocked counts as 0.

import {
  add,
  cast,
  concat,
  linear,
  matmul,
  program,
  reshape,
  runProgram,
  scope,
  scopeAsync,
  slice,
  type Tensor,
  transpose,
  where,
} from '@ditkit/core'

/** Entries of a block: of the order of what a product packs at a time. */
const BLOCK_ENTRIES = 2 ** 20

const DIFFERENCE = program('bias residual', 2, 0, (b, x, y) => {
  const d = b.sub(x, y)
  return [b.rowSum(b.mul(d, d)), b.rowMax(b.abs(d))]
})

/** A part of the matrix along its longer axis. */
interface Block {
  readonly start: number
  readonly end: number
}

export interface Residual {
  /** ‖A − factors‖², squared Frobenius norm */
  readonly squares: number
  /** The largest |entry|. */
  readonly largest: number
}

export class BiasMatrix {
  readonly rows: number
  readonly columns: number
  private readonly blocks: readonly Block[]
  /** 0 or 1: which axis is cut. */
  private readonly axis: number

  /**
   * @param values [rows, columns], off the tape; bool stands for 0 and 1
   * @param allowed bool of the same shape; where it is false the matrix is 0. Absent: nowhere.
   * @param squares ‖A‖², squared Frobenius norm
   */
  constructor(
    private readonly values: Tensor,
    private readonly allowed: Tensor | undefined,
    readonly squares: number,
  ) {
    ;[this.rows, this.columns] = values.shape
    this.axis = this.rows > this.columns ? 0 : 1
    const [longer, shorter] = this.axis === 0 ? [this.rows, this.columns] : [this.columns, this.rows]
    const size = Math.max(1, Math.floor(BLOCK_ENTRIES / shorter))
    const blocks: Block[] = []
    for (let start = 0; start < longer; start += size) blocks.push({ start, end: Math.min(longer, start + size) })
    this.blocks = blocks
  }

  get device() {
    return this.values.device
  }

  get dtype() {
    return this.values.dtype === 'bool' ? this.device.floatDType : this.values.dtype
  }

  /** 1 where this matrix may be attended to and 0 where it is blocked, as a matrix; undefined when nothing is blocked. */
  pattern(): BiasMatrix | undefined {
    return this.allowed && new BiasMatrix(this.allowed, undefined, 0)
  }

  /** x [l, rows] · A → [l, columns] */
  timesColumns(x: Tensor): Tensor {
    return scope(() =>
      this.assembled(this.axis === 1, block => matmul(this.axis === 1 ? x : part(x, 1, block), this.block(block))),
    )
  }

  /** x [l, columns] · Aᵀ → [l, rows] */
  timesRows(x: Tensor): Tensor {
    // A stands on the left, where a product does not pack it.
    return scope(() =>
      this.assembled(this.axis === 0, block =>
        transpose(linear(this.block(block), this.axis === 1 ? part(x, 1, block) : x)),
      ),
    )
  }

  /** How far query [rows, R] · key [columns, R]ᵀ is from A. */
  async residual(query: Tensor, key: Tensor): Promise<Residual> {
    return scopeAsync(async s => {
      const parts = this.blocks.flatMap(block =>
        s.run(() =>
          scope(() => {
            const [q, k] = this.axis === 0 ? [part(query, 0, block), key] : [query, part(key, 0, block)]
            const product = linear(q, k)
            const allowed = this.allowed && part(this.allowed, this.axis, block)
            const operands = [this.block(block), allowed ? where(allowed, product, 0) : product]
            const perRow = { dtype: this.dtype, perRow: true }
            return runProgram(DIFFERENCE, operands, [], [perRow, perRow])
          }),
        ),
      )
      const values = await Promise.all(parts.map(t => t.data()))
      let [squares, largest] = [0, 0]
      for (const [i, rows] of values.entries()) {
        for (const value of rows as Float32Array) {
          if (i % 2 === 0) squares += value
          else largest = Math.max(largest, value)
        }
      }
      return { squares, largest }
    })
  }

  private block(block: Block): Tensor {
    const values = part(this.values, this.axis, block)
    if (values.dtype === 'bool') return cast(values, this.dtype)
    return this.allowed ? where(part(this.allowed, this.axis, block), values, 0) : values
  }

  /** The blocks' results side by side, or their sum. */
  private assembled(sideBySide: boolean, make: (block: Block) => Tensor): Tensor {
    if (sideBySide) {
      const parts = this.blocks.map(block => scope(() => make(block)))
      return parts.length === 1 ? parts[0] : concat(parts, 1)
    }
    let total = scope(() => make(this.blocks[0]))
    for (const block of this.blocks.slice(1)) {
      const before = total
      total = scope(() => add(before, make(block)))
      before.dispose()
    }
    return total
  }
}

function part(x: Tensor, axis: number, { start, end }: Block): Tensor {
  return slice(x, axis, start, end)
}

/** Matrix `index` of [count, rows, columns], sharing its memory. */
export function matrixOf(values: Tensor, index: number): Tensor {
  return reshape(slice(values, 0, index, index + 1), values.shape.slice(1))
}
