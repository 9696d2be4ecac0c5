// Web Workers and the number of cores, as libraries for the browser look for them, over Node's worker threads.

import { resolveObjectURL } from 'node:buffer'
import { Worker as NodeWorker } from 'node:worker_threads'

const WORKER_GLOBALS = `
  const { parentPort } = require('node:worker_threads')
  globalThis.self = globalThis
  globalThis.postMessage = message => parentPort.postMessage(message)
  parentPort.on('message', data => globalThis.onmessage({ data }))
`

/** A worker from a blob: URL, which Node's do not take. Messages sent before its source is read wait. */
class WebWorker {
  onmessage = () => {}
  onerror = () => {}
  #started

  constructor(url) {
    this.#started = this.#start(url)
  }

  async #start(url) {
    const source = await resolveObjectURL(url).text()
    const worker = new NodeWorker(`${WORKER_GLOBALS}${source}`, { eval: true })
    worker.on('message', data => this.onmessage({ data }))
    worker.on('error', error => this.onerror(error))
    return worker
  }

  postMessage(message) {
    this.#started.then(worker => worker.postMessage(message))
  }
}

export function provideWebWorkers(threads) {
  globalThis.Worker = WebWorker
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: threads }, configurable: true })
}
