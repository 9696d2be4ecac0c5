// Scenes of very different length to padded batches: an epoch of a data loader.

import type { Experiment } from '../experiment'

const SCENES = { kind: 'collate', scenes: 1000, batch: 16 } as const

export function collations(): Experiment[] {
  return [2, 0].map(workers => {
    const work = `collate 1,000 scenes of 500 to 20,000 points, batches of 16, ${workers || 'no'} workers`
    return {
      name: `collate ${workers} workers`,
      group: 'collate',
      problem: { ...SCENES, workers },
      sides: { ditkit: { by: 'ditkit' }, torch: { by: 'torch' } },
      rows: [{ work, ours: 'ditkit', against: 'torch', ...(workers > 0 && { atLeast: 3 }) }],
    }
  })
}
