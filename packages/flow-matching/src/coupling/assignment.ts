// The linear assignment problem, exactly: shortest augmenting paths over reduced costs (Jonker & Volgenant, "A Shortest Augmenting Path
// Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38, 1987). O(n³).

/** The permutation of columns by row that makes Σ cost[row·n + column] least. Costs are finite. */
export function assign(cost: Float64Array, n: number): Int32Array {
  const columnOf = new Int32Array(n).fill(-1)
  const rowOf = new Int32Array(n).fill(-1)
  const price = new Float64Array(n)
  reduceColumns(cost, n, columnOf, rowOf, price)
  const path = { distance: new Float64Array(n), from: new Int32Array(n), reached: new Int32Array(n), price }
  for (let row = 0; row < n; row++) if (columnOf[row] < 0) augment(cost, n, row, columnOf, rowOf, path)
  return columnOf
}

/** Prices each column at its least cost, and gives it to that row where the row is free. */
function reduceColumns(cost: Float64Array, n: number, columnOf: Int32Array, rowOf: Int32Array, price: Float64Array) {
  for (let column = n - 1; column >= 0; column--) {
    let best = 0
    for (let row = 1; row < n; row++) if (cost[row * n + column] < cost[best * n + column]) best = row
    price[column] = cost[best * n + column]
    if (columnOf[best] < 0) {
      columnOf[best] = column
      rowOf[column] = best
    }
  }
}

interface Path {
  /** Of each column from the free row, in reduced costs. */
  readonly distance: Float64Array
  /** The row before each column. */
  readonly from: Int32Array
  /** Columns: those whose distance is final, then the others. */
  readonly reached: Int32Array
  readonly price: Float64Array
}

/** Dijkstra's algorithm from a free row to the nearest free column, and the exchange along the path. */
function augment(cost: Float64Array, n: number, free: number, columnOf: Int32Array, rowOf: Int32Array, path: Path) {
  const { distance, from, reached, price } = path
  for (let column = 0; column < n; column++) {
    distance[column] = cost[free * n + column] - price[column]
    from[column] = free
    reached[column] = column
  }
  let final = 0
  let column: number
  for (;;) {
    let nearest = final
    for (let i = final + 1; i < n; i++) if (distance[reached[i]] < distance[reached[nearest]]) nearest = i
    column = reached[nearest]
    const row = rowOf[column]
    if (row < 0) break
    reached[nearest] = reached[final]
    reached[final++] = column
    const base = cost[row * n + column] - price[column] - distance[column]
    for (let i = final; i < n; i++) {
      const next = reached[i]
      const through = cost[row * n + next] - price[next] - base
      if (through < distance[next]) {
        distance[next] = through
        from[next] = row
      }
    }
  }
  for (let i = 0; i < final; i++) price[reached[i]] += distance[reached[i]] - distance[column]
  for (let row = -1; row !== free; ) {
    row = from[column]
    rowOf[column] = row
    const before = columnOf[row]
    columnOf[row] = column
    column = before
  }
}
