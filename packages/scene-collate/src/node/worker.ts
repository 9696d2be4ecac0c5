// The program of a worker: imports the dataset's module, then makes the batches it is asked for, one after the other.

import { parentPort, workerData } from 'node:worker_threads'
import { BatchMemory, buffersOf } from '../batch-memory'
import type { Dataset } from '../loader/dataset'
import { loadBatch } from '../loader/load-batch'
import { failureOf, type WorkerJob, type WorkerReply, type WorkerStart, writeSlate } from './worker-messages'

const { module, data, slate } = workerData as WorkerStart
const port = parentPort!
const memory = new BatchMemory()

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

async function work(dataset: Dataset, { id, job, spare }: WorkerJob): Promise<void> {
  if (spare) memory.give(spare)
  try {
    const loaded = await loadBatch(dataset, job, spare && memory, label => writeSlate(slate, label))
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
