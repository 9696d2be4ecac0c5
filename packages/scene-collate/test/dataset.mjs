// A dataset for the tests of loaders: scene i has 1 + (7 i mod 23) points, which say which scene they are of.

/** @param {{ length?: number, bad?: number[], throws?: number[], dies?: number[], factor?: number, log?: Int32Array }} [options] */
export default function dataset({ length = 40, bad = [], throws = [], dies = [], factor = 1, log } = {}) {
  return {
    length,
    lengths: Array.from({ length }, (_, i) => factor * points(i)),
    nameOf: (/** @type {number} */ i) => `s${i}`,
    async get(/** @type {number} */ i) {
      // Answers out of order, as files do.
      await new Promise(resolve => setTimeout(resolve, (i * 13) % 3))
      if (log) Atomics.add(log, 0, 1)
      if (throws.includes(i)) throw new Error('no such file')
      if (dies.includes(i)) process.exit(3)
      const count = factor * points(i)
      return {
        name: `s${i}`,
        points: Float32Array.from({ length: 3 * count }, (_, n) =>
          bad.includes(i) ? Number.NaN : i + ((n * 37) % 101) / 101,
        ),
        sets: { grasps: { data: new Float32Array(4 * (i % 3)).fill(i), width: 4, parts: ['position', 'length'] } },
        texts: { prompt: `scene ${i}` },
      }
    },
  }
}

/** @param {number} i */
function points(i) {
  return 1 + ((7 * i) % 23)
}
