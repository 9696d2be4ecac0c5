// The program of a worker: imports the dataset's module, then makes the batches it is asked for, one after the other.

import { parentPort, workerData } from 'node:worker_threads'
import type { SceneBatch } from '../batch'
import type { Dataset } from '../loader/dataset'
import { loadBatch } from '../loader/load-batch'
import { failureOf, type WorkerJob, type WorkerReply, type WorkerStart, writeSlate } from './worker-messages'

const { module, data, slate } = workerData as WorkerStart
const port = parentPort!

function reply(message: WorkerReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

async function openDataset(): Promise<Dataset> {
  const exported = (await import(module)) as { default?: unknown }
  const given = exported.default
  const dataset = (typeof given === 'function' ? await given(data) : given) as Partial<Dataset> | undefined
  if (typeof dataset?.length !== 'number' || typeof dataset.get !== 'function')
    throw new TypeError(
      `${module}: its default export is no dataset, { length, get(index) }, and no function that gives one`,
    )
  return dataset as Dataset
}

/** The memory of a batch, which moves to the other thread instead of being copied. */
function buffersOf(batch: SceneBatch): ArrayBuffer[] {
  const { points, fields, sets, vectors } = batch
  const rows = [points, ...Object.values(sets)]
  const arrays = [
    ...[...rows, ...Object.values(fields), ...Object.values(vectors)].map(({ data }) => data),
    ...rows.flatMap(each => [each.lengths, 'mask' in each ? each.mask : each.offsets]),
  ]
  return arrays.map(array => array.buffer as ArrayBuffer)
}

async function work(dataset: Dataset, { id, job }: WorkerJob): Promise<void> {
  try {
    const loaded = await loadBatch(dataset, job, label => writeSlate(slate, label))
    reply({ kind: 'loaded', id, loaded }, loaded.batch ? buffersOf(loaded.batch) : [])
  } catch (error) {
    reply({ kind: 'refused', id, failure: failureOf(error) })
  }
  writeSlate(slate, '')
}

try {
  const dataset = await openDataset()
  let last = Promise.resolve()
  port.on('message', (message: WorkerJob) => {
    last = last.then(() => work(dataset, message))
  })
  const { length, lengths } = dataset
  reply({ kind: 'ready', length, ...(lengths && { lengths: Float64Array.from(lengths) }) })
} catch (error) {
  reply({ kind: 'failed', failure: failureOf(error) })
}
