// Worker threads that make batches for a DataLoader.

import type { BatchSource } from '../loader/dataset'
import { LoaderWorker } from './loader-worker'

export interface WorkerOptions {
  /** Default 2. */
  readonly workers?: number
  /** What the module's function is called with, in each worker (copied as by `structuredClone`). */
  readonly data?: unknown
  /** The workers' own program, for those who bundle this package: a copy of its `dist/worker.js`. */
  readonly program?: URL
}

/**
 * Starts threads that each import `module` and make batches of its dataset: its default export is a Dataset, or a function that gives one. Give the result to a DataLoader,
 * whose `close()` ends the threads; a program that is done ends without it too.
 *
 * Rejects with the error of a module that cannot be imported or has no dataset. What goes wrong later comes out of the DataLoader: an exception with the scene's name; a worker that
 * dies with that of the scene it was reading.
 */
export async function openWorkers(module: URL | string, options: WorkerOptions = {}): Promise<BatchSource> {
  const { workers: count = 2, data, program = new URL('./worker.js', import.meta.url) } = options
  if (!Number.isInteger(count) || count < 1)
    throw new RangeError(
      `openWorkers: workers is ${count}, expected a whole number of at least 1; without workers give the DataLoader the dataset itself`,
    )
  const workers = Array.from({ length: count }, () => new LoaderWorker(program, String(module), data))
  try {
    const [first, ...others] = await Promise.all(workers.map(worker => worker.ready))
    const differing = others.find(other => other.length !== first.length)
    if (differing)
      throw new Error(
        `openWorkers: ${module} gives datasets of ${first.length} and of ${differing.length} scenes; all workers must see the same`,
      )
    return {
      ...first,
      parallel: count,
      load: (job, spare) => leastBusy(workers).load(job, spare),
      close: () => closeAll(workers),
    }
  } catch (error) {
    await closeAll(workers)
    throw error
  }
}

function leastBusy(workers: readonly LoaderWorker[]): LoaderWorker {
  return workers.reduce((best, worker) => (worker.pending < best.pending ? worker : best))
}

async function closeAll(workers: readonly LoaderWorker[]): Promise<void> {
  await Promise.all(workers.map(worker => worker.close()))
}
