// Sines and cosines of positions, and the positions of a grid's cells.

import { concat, cos, type Device, mul, reshape, sin, type Tensor, unsqueeze } from '@ditkit/core'

/** Angles per unit of position: 2π/(1 + 2i/F) for i = 0 … F/2 − 1, the wavelengths of CMT. */
export function waveNumbers(features: number): Float64Array {
  return Float64Array.from({ length: features / 2 }, (_, i) => (2 * Math.PI) / (1 + (2 * i) / features))
}

/** positions [..., k] → [..., k·F], for each coordinate F/2 sines and F/2 cosines; waves [F/2] as of `waveNumbers`. */
export function positionFeatures(positions: Tensor, waves: Tensor): Tensor {
  const angles = mul(unsqueeze(positions, -1), waves)
  const both = concat([sin(angles), cos(angles)], -1)
  return reshape(both, [...positions.shape.slice(0, -1), positions.shape[positions.rank - 1] * 2 * waves.size])
}

/** Centres of the cells of a grid as (x, y) in 0 … 1, row-major: [height·width, 2]. */
export function cellCenters(device: Device, [height, width]: readonly [number, number]): Tensor {
  const centers = Float64Array.from({ length: 2 * height * width }, (_, i) => {
    const cell = i >> 1
    return i % 2 === 0 ? ((cell % width) + 0.5) / width : (Math.floor(cell / width) + 0.5) / height
  })
  return device.tensor(centers, [height * width, 2])
}
