// Which queries see which when denoising queries are trained along with the learned ones (DN-DETR, arXiv:2203.01305).

/**
 * The mask [n, n], n = groups·perGroup + queries, row-major, 1 = takes part, for `dnMask`: denoising queries stand first, group by group;
 * each sees its own group and the learned queries, and the learned ones see each other only, so that no answer leaks into them.
 * Upload it with `device.tensor(mask, [n, n])`.
 * @throws RangeError unless all are whole numbers, `queries` above 0.
 */
export function denoisingMask(sizes: { groups: number; perGroup: number; queries: number }): Uint8Array {
  const { groups, perGroup, queries } = sizes
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isInteger(size) || size < (name === 'queries' ? 1 : 0))
      throw new RangeError(`denoisingMask: ${name} is ${size}, expected a whole number`)
  }
  const denoising = groups * perGroup
  const n = denoising + queries
  const mask = new Uint8Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const sameGroup = i < denoising && j < denoising && Math.floor(i / perGroup) === Math.floor(j / perGroup)
      mask[i * n + j] = j >= denoising || sameGroup ? 1 : 0
    }
  }
  return mask
}
