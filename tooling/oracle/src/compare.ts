// How far a computed tensor is from PyTorch's.

/** Largest |actual − expected| over the largest |expected|. NaN anywhere gives NaN, which no bound accepts. */
export function largestError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  sameLength(actual, expected)
  let [error, scale] = [0, 0]
  for (let i = 0; i < expected.length; i++) {
    error = Math.max(error, Math.abs(actual[i] - expected[i]))
    scale = Math.max(scale, Math.abs(expected[i]))
  }
  return scale === 0 ? error : error / scale
}

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeDistance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  sameLength(actual, expected)
  let [distance, norm] = [0, 0]
  for (let i = 0; i < expected.length; i++) {
    distance += (actual[i] - expected[i]) ** 2
    norm += expected[i] ** 2
  }
  return Math.sqrt(distance / norm)
}

function sameLength(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  if (actual.length !== expected.length)
    throw new RangeError(`compare: ${actual.length} values where ${expected.length} are expected`)
}
