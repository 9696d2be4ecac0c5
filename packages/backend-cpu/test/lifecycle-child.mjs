// Ways a process or worker can end while a device exists: `node lifecycle-child.mjs ADDON CASE`.
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isMainThread, Worker, workerData } from 'node:worker_threads'

const [addonPath, name] = isMainThread ? process.argv.slice(2) : workerData
const addon = createRequire(import.meta.url)(addonPath)

function open(complete = () => {}) {
  const device = addon.createDevice(2, 'baseline', 2 ** 32, complete)
  const bytes = 4 << 20
  const handle = device.alloc(bytes)
  /** A fill of 4 MiB, some hundred microseconds each. */
  const work = count => {
    for (let i = 0; i < count; i++) {
      device.commands.set([1, handle, 0, 0, 1, bytes / 4, 1, i])
      device.submit(8)
    }
  }
  return { device, handle, work }
}

const cases = {
  idle() {
    open()
  },
  queued() {
    open().work(20000)
  },
  exit() {
    open().work(20000)
    process.exit(0)
  },
  throw() {
    open().work(20000)
    throw new Error('an uncaught error')
  },
  read() {
    const { device, handle, work } = open((id, buffer) => console.log(`read ${id} gave ${new Float32Array(buffer)[0]}`))
    work(100)
    device.read(handle, 0, 4, 7)
  },
  disposed() {
    const { device, work } = open()
    work(1000)
    device.sync(1)
    device.dispose()
  },
  async collected() {
    for (let i = 0; i < 50; i++) open().work(3)
    for (let i = 0; i < 10; i++) {
      globalThis.gc()
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    // Two threads each, besides the threads of the process itself.
    const threads = process.platform === 'linux' ? readdirSync('/proc/self/task').length : 0
    console.log(threads < 60 ? 'their threads ended' : `${threads} threads are left`)
  },
  several() {
    let completed = 0
    const devices = Array.from({ length: 4 }, () =>
      open(() => {
        if (++completed === 4) console.log('all four')
      }),
    )
    for (const { device, work } of devices) {
      work(20)
      device.sync(0)
    }
  },
  async worker() {
    const worker = new Worker(new URL(import.meta.url), { workerData: [addonPath, 'read'] })
    await new Promise(resolve => worker.on('exit', resolve))
    console.log('the worker ended')
  },
  async terminated() {
    const worker = new Worker(new URL(import.meta.url), { workerData: [addonPath, 'busy'] })
    await new Promise(resolve => worker.on('message', resolve))
    await worker.terminate()
    console.log('the worker was terminated')
  },
  async busy() {
    const { parentPort } = await import('node:worker_threads')
    const { device, work } = open()
    work(5000)
    device.sync(1)
    parentPort.postMessage('started')
  },
  async ended() {
    // Several workers that each end with work queued, while the main thread uses the same addon.
    const { device, work } = open(() => console.log('still works'))
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: [addonPath, 'queued'] })
      await new Promise(resolve => worker.on('exit', resolve))
    }
    work(10)
    device.sync(1)
  },
}
await cases[name]()
