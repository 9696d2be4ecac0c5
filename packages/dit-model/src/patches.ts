// Images to rows of patches and back. `p` is the side of a patch, h × w the grid of patches, N = h·w.

import { permute, reshape, type Tensor } from '@ditkit/core'

/** x [B, C, h·p, w·p] → [B, N, C·p·p]: what a convolution of kernel and stride p multiplies with its weight. */
export function patchify(x: Tensor, p: number): Tensor {
  const { 0: batch, 1: channels, 2: height, 3: width } = x.shape
  const h = height / p
  const w = width / p
  const split = reshape(x, [batch, channels, h, p, w, p])
  return reshape(permute(split, [0, 2, 4, 1, 3, 5]), [batch, h * w, channels * p * p])
}

/** x [B, N, p·p·C] → [B, C, h·p, w·p]. Channels are innermost in a patch, other than in `patchify`: so are DiT's weights. */
export function unpatchify(x: Tensor, p: number, h: number, w: number): Tensor {
  const batch = x.shape[0]
  const channels = x.shape[2] / (p * p)
  const split = reshape(x, [batch, h, w, p, p, channels])
  return reshape(permute(split, [0, 5, 1, 3, 2, 4]), [batch, channels, h * p, w * p])
}
