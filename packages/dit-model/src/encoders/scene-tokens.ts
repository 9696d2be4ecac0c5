// What a point-cloud encoder takes and gives.

import type { Tensor } from '@ditkit/core'
import type { Module } from '@ditkit/nn'

/** What the other tokens of a model look at. */
export interface SceneTokens {
  /** [B, N, width] */
  readonly tokens: Tensor
  /** bool [B, N]: true takes part. */
  readonly mask: Tensor
  /** [B, N, 3]: where the tokens are, of an encoder whose tokens are somewhere. */
  readonly positions?: Tensor
}

/** Points to tokens; the result depends neither on the order of the points nor on padding. */
export interface SceneEncoder extends Module {
  /** Width of its tokens. */
  readonly width: number
  /** Whether its tokens have positions. */
  readonly located: boolean
  /** points [B, P, channels], of which the first three are x, y and z; mask bool [B, P]: true takes part. */
  forward(points: Tensor, mask: Tensor): SceneTokens
}
