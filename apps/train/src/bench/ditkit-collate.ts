// ditkit's side of collation: an epoch of its data loader, scenes of similar length together.

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DataLoader, type Dataset } from '@ditkit/scene-collate'
import { openWorkers } from '@ditkit/scene-collate/node'
import { peerFolder } from '../package-files'
import type { CollateProblem } from './problem'
import type { Subject } from './subject'

const MODULE = pathToFileURL(join(peerFolder, 'scenes.mjs'))

export async function collateSubject({ scenes, batch, workers }: CollateProblem): Promise<Subject> {
  const data = { scenes }
  const source = workers > 0 ? await openWorkers(MODULE, { workers, data }) : await datasetHere(data)
  const loader = new DataLoader(source, { batchSize: batch, maxWaste: 0.1, reuseMemory: true })
  return {
    name: 'ditkit',
    async run() {
      const start = performance.now()
      for await (const _ of loader);
      return (performance.now() - start) / 1000
    },
    close: () => loader.close(),
  }
}

async function datasetHere(data: { scenes: number }): Promise<Dataset> {
  const module = (await import(MODULE.href)) as { default(options: typeof data): Dataset }
  return module.default(data)
}
