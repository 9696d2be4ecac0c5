// Says that a mask blocks everything for some sample or query: most often it is of the other polarity.

import { cast, noGrad, notice, scope, sub, sum, type Tensor } from '@ditkit/core'

/**
 * Looks, in the background, for rows of a mask [..., keys] that are blocked throughout (true is blocked), and says once per device and
 * mask where the first is. Costs a read of one number per row, so a module asks for its first call only.
 */
export function reportBlockedRows(name: string, what: string, blocked: Tensor): void {
  const { device, shape } = blocked
  const keys = shape[shape.length - 1]
  if (!keys) return
  const open = noGrad(() => scope(() => sum(sub(1, cast(blocked, device.floatDType)), -1)))
  device.whenRead(open, counts => {
    const row = counts.indexOf(0)
    if (row < 0) return
    const place = open.shape.length === 1 ? `${what} ${row}` : `entry ${row} of [${open.shape.join(', ')}]`
    notice(
      device,
      `MultiheadAttention: ${name} blocks every key of ${place}, which gets zeros (PyTorch gives NaN). True is blocked there: should the mask have ` +
        'the other polarity? Masks of what takes part are keyMask and mask',
    )
  })
  open.dispose()
}
