// Says that a mask blocks everything for some sample or query: most often it is of the other polarity.

import { noGrad, notice, type Program, program, runProgram, scope, type Tensor } from '@ditkit/core'

/** What a mask says: true is blocked, −∞ is blocked, or true (not 0) takes part. */
export type MaskMeaning = 'blocked' | 'added' | 'takes part'

/** How many keys of a row [..., keys] are blocked; nothing of the mask's size is made. */
const BLOCKED_KEYS: Record<MaskMeaning, Program> = {
  blocked: program('keys a blocked mask blocks', 1, 0, (b, mask) => b.rowSum(mask)),
  added: program('keys an additive mask blocks', 1, 0, (b, mask) =>
    b.rowSum(b.eq(mask, b.constant(Number.NEGATIVE_INFINITY))),
  ),
  'takes part': program('keys a mask blocks', 1, 0, (b, mask) => b.rowSum(b.eq(mask, b.constant(0)))),
}

const HINTS: Record<MaskMeaning, string> = {
  blocked:
    '(PyTorch gives NaN). True is blocked there: should the mask have the other polarity? Masks of what takes part are keyMask and mask',
  added: '(PyTorch gives NaN). What is added there is −∞ throughout',
  'takes part':
    'of attention. True takes part there: should the mask have the other polarity? fromBlockedMask converts one where true is blocked',
}

/**
 * Looks, in the background, for rows of a mask [..., keys] that are blocked throughout, and says once per device and mask where the first is. Costs
 * a read of one number per row, so a module asks for the first mask of a kind only.
 */
export function reportBlockedRows(name: string, what: string, mask: Tensor, meaning: MaskMeaning): void {
  const { device, shape } = mask
  const rows = shape.slice(0, -1)
  const keys = shape[shape.length - 1]
  if (!keys) return
  const [blocked] = noGrad(() =>
    scope(() => runProgram(BLOCKED_KEYS[meaning], [mask], [], [{ dtype: device.floatDType, perRow: true }])),
  )
  device.whenRead(blocked!, counts => {
    const row = counts.indexOf(keys)
    if (row < 0) return
    const place = rows.length === 1 ? `${what} ${row}` : `entry ${row} of [${rows.join(', ')}]`
    notice(
      device,
      `MultiheadAttention: ${name} blocks every key of ${place}, which gets zeros ${HINTS[meaning]}`,
      `MultiheadAttention: ${name} blocks`,
    )
  })
  blocked!.dispose()
}
