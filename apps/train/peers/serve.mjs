// The protocol of src/bench/peer-process.ts for peers that are npm packages: answers one line of JSON with one.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

/** What this peer cannot express, as the answer to the problem. */
export class Cannot extends Error {}

const folder = createRequire(join(process.argv[2], 'package.json'))

/** Imports a package from the folder that the command line names. */
export async function load(name) {
  return import(pathToFileURL(folder.resolve(name)).href)
}

export function versionOf(name) {
  // Packages need not export their package.json.
  const main = folder.resolve(name)
  const at = main.lastIndexOf(join('node_modules', name)) + join('node_modules', name).length
  return folder(join(main.slice(0, at), 'package.json')).version
}

/**
 * `make(problem, threads)` gives { name, run(), close() }; a run ends when its results are there, and close frees all that was made. A
 * failure ends the process, after its answer: what it left in the library's memory, if that still works, nobody knows.
 */
export async function serve(make) {
  // Answers go out where stdout goes; what a library prints must not get between them.
  console.log = console.info = console.warn
  const entries = new Map()
  const answer = async message => {
    if ('make' in message) {
      const made = await make(message.problem, message.threads)
      entries.set(message.make, { ...made, repeats: message.repeats })
      return { name: made.name }
    }
    if ('run' in message) {
      const { run, repeats } = entries.get(message.run)
      if (repeats > 1) await run()
      const start = performance.now()
      for (let i = 0; i < repeats; i++) await run()
      return { seconds: (performance.now() - start) / 1000 / repeats }
    }
    if ('drop' in message) {
      await entries.get(message.drop).close()
      entries.delete(message.drop)
    }
    return {}
  }
  for await (const line of createInterface({ input: process.stdin })) {
    let result
    try {
      result = await answer(JSON.parse(line))
    } catch (error) {
      result =
        error instanceof Cannot
          ? { cannot: error.message }
          : { error: String(error?.message ?? error).slice(0, 500), ends: true }
    }
    await new Promise(resolve => process.stdout.write(`${JSON.stringify(result)}\n`, resolve))
    if (result.ends) process.exit(1)
  }
  process.exit(0)
}

/** Numbers around 0, the same for every peer that asks in the same order. */
export function pseudoNormal(count, seed = 1) {
  const values = new Float32Array(count)
  let state = seed >>> 0 || 1
  for (let i = 0; i < count; i++) {
    let sum = -2
    for (let j = 0; j < 4; j++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      sum += state / 2 ** 32
    }
    values[i] = sum * 1.7
  }
  return values
}
