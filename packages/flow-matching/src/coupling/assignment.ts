// The linear assignment problem, exactly: shortest augmenting paths over reduced costs (Jonker & Volgenant, "A Shortest Augmenting Path
// Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38, 1987). O(n³).

/**
 * The column of each row, all different, that makes Σ cost[row·columns + column] least. As many columns as rows, or more; of several best
 * assignments one.
 * @throws RangeError where there are more rows than columns, the costs are not rows·columns, or one is not finite.
 */
export function linearAssignment(cost: Float64Array, rows: number, columns = rows): Int32Array {
  check(cost, rows, columns)
  const columnOf = new Int32Array(rows).fill(-1)
  const rowOf = new Int32Array(columns).fill(-1)
  const price = new Float64Array(columns)
  // A column that stays free has to keep the price 0, and which do is known beforehand only when none does.
  if (rows === columns) reduceColumns(cost, rows, columnOf, rowOf, price)
  const path = {
    distance: new Float64Array(columns),
    from: new Int32Array(columns),
    reached: new Int32Array(columns),
    price,
  }
  for (let row = 0; row < rows; row++) if (columnOf[row] < 0) augment(cost, columns, row, columnOf, rowOf, path)
  return columnOf
}

function check(cost: Float64Array, rows: number, columns: number): void {
  if (rows > columns)
    throw new RangeError(
      `linearAssignment: ${rows} rows cannot have different ones of ${columns} columns; exchange the two`,
    )
  if (cost.length !== rows * columns)
    throw new RangeError(`linearAssignment: cost has ${cost.length} entries (expected ${rows} · ${columns})`)
  const bad = cost.findIndex(value => !Number.isFinite(value))
  if (bad >= 0)
    throw new RangeError(
      `linearAssignment: cost[${Math.floor(bad / columns)}, ${bad % columns}] is ${cost[bad]} (expected a finite number)`,
    )
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
