// The scenes of `ditkit bench collate` in memory, for ditkit's data loader: points and normals, 500 to 20,000 of each.

/** @param {{ scenes: number }} options */
export default function dataset({ scenes }) {
  // All workers must see the same lengths; what the points are does not matter here.
  const lengths = Array.from({ length: scenes }, (_, i) => 500 + ((i * 7919 + 13) % 19_501))
  const values = lengths.map(length => ({ points: draw(length), normals: draw(length) }))
  return {
    length: scenes,
    lengths,
    get: (/** @type {number} */ i) => ({
      points: values[i].points,
      fields: { normals: { data: values[i].normals, width: 3 } },
    }),
  }
}

/** @param {number} length */
function draw(length) {
  return Float32Array.from({ length: 3 * length }, Math.random)
}
