// Denoising queries (DN-DETR, Li et al. 2022, arXiv:2203.01305, as PETR and CMT use them): beside the learned queries a few groups
// that start from the true boxes' centres with noise, and learn to find back without matching.

import { hostUniform, type RngKey } from '@ditkit/core'
import { denoisingMask } from '@ditkit/dit-model'
import { type Box, toField, type Vector3 } from './box'

export interface DenoisingOptions {
  readonly groups: number
  /** Slots of a group: the most boxes of a scene. */
  readonly slots: number
  /** A centre moves along each axis by at most so many half lengths of its box. */
  readonly noise: number
}

/** What a denoising query is for. */
export interface DenoisingSlot {
  /** The box to find back; undefined where the noise took it so far that there is nothing to find. */
  readonly box: Box | undefined
}

export interface DenoisingQueries {
  /** [B, groups · slots, 3] reference points, shares of the field. */
  readonly references: Float32Array
  /** [B][groups · slots]; undefined for slots that a scene has no box for. */
  readonly slots: readonly (readonly (DenoisingSlot | undefined)[])[]
}

/** Moved by more half lengths of its box than this, a query is taught that nothing is there. */
const NOTHING_BEYOND = 0.75

/** Denoising queries for the boxes of B scenes: a function of the key. */
export function denoisingQueries(
  scenes: readonly (readonly Box[])[],
  { groups, slots, noise }: DenoisingOptions,
  key: RngKey,
): DenoisingQueries {
  const queries = groups * slots
  const references = new Float32Array(scenes.length * queries * 3).fill(0.5)
  const taken = scenes.map((boxes, b) => {
    const uniform = hostUniform(key.foldIn(b), queries * 3)
    return Array.from({ length: queries }, (_, q): DenoisingSlot | undefined => {
      const box = boxes[q % slots]
      if (!box) return undefined
      const [u, v, w] = [0, 1, 2].map(axis => 2 * uniform[q * 3 + axis] - 1)
      const moved = ([u, v, w] as const).map((shift, axis) => box.center[axis] + (noise * shift * box.size[axis]) / 2)
      references.set(toField(moved as unknown as Vector3).map(clampShare), (b * queries + q) * 3)
      return { box: noise * Math.hypot(u, v, w) > NOTHING_BEYOND ? undefined : box }
    })
  })
  return { references, slots: taken }
}

const clampShare = (value: number) => Math.min(1, Math.max(0, value))

/**
 * Which query sees which, [B, n, n], n = groups · slots + learned: as `denoisingMask` of dit-model, but slots for which a scene has no box are
 * seen by themselves alone.
 */
export function sceneMasks(
  learned: number,
  { groups, slots }: Pick<DenoisingOptions, 'groups' | 'slots'>,
  taken: DenoisingQueries['slots'],
): Uint8Array {
  const shared = denoisingMask({ groups, perGroup: slots, queries: learned })
  const n = groups * slots + learned
  const masks = new Uint8Array(taken.length * n * n)
  for (const [b, scene] of taken.entries()) {
    masks.set(shared, b * n * n)
    for (const [q, slot] of scene.entries())
      if (!slot) for (let row = 0; row < n; row++) masks[(b * n + row) * n + q] = row === q ? 1 : 0
  }
  return masks
}
