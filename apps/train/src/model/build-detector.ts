// The CrossModalDecoder that a configuration describes.

import type { Device, RngKey } from '@ditkit/core'
import { CrossModalDecoder } from '@ditkit/dit-model'
import type { Config, TabletopConfig } from '../config/schema'
import { CELL_CHANNELS } from '../detect/bird-eye'
import { BOX_SIZE } from '../detect/box'
import { DEPTHS, PATCH_CHANNELS, PATCH_COLUMNS, PATCH_ROWS } from '../detect/camera'
import { CATEGORIES } from '../detect/categories'

/** Places along the ray of a patch that its position is told by. */
const RAY_POINTS = 8

export function buildDetector(device: Device, key: RngKey, config: Config, data: TabletopConfig): CrossModalDecoder {
  const { hidden, layers, heads, mlp_ratio } = config.model
  const {
    queries,
    bias,
    bias_shape = bias === 'dense' ? 'window' : 'gaussian',
    window: cells,
    sigma: [lidar, cameras],
    bias_scale,
    learn_bias_scale,
    dropout,
  } = config.detect
  return new CrossModalDecoder(device, key, {
    hiddenSize: hidden,
    heads,
    layers,
    queries,
    classes: CATEGORIES.length,
    boxDim: BOX_SIZE,
    mlpSize: Math.round(mlp_ratio * hidden),
    dropout,
    lidar: { grid: [data.grid, data.grid], channels: CELL_CHANNELS },
    cameras: {
      count: data.cameras,
      grid: [PATCH_ROWS, PATCH_COLUMNS],
      channels: PATCH_CHANNELS,
      depths: { count: RAY_POINTS, ...DEPTHS },
    },
    firstContent: 'position',
    bias,
    biasShape: bias_shape === 'window' ? { type: 'window', cells } : { type: 'gaussian', sigma: { lidar, cameras } },
    biasScale: { init: bias_scale, learnable: learn_bias_scale },
    recomputeLayers: config.train.recompute,
  })
}
