// Lets one process at a time do the set-up: a lock file that its owner keeps fresh, and that others take over when
// the owner has died.
import { randomUUID } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'

const BEAT_MS = 2_000
const STALE_MS = 60_000

/**
 * Waits until `path` can be taken, runs `work`, and gives the lock back whatever happens.
 * @template T
 * @param {string} path
 * @param {() => Promise<T>} work
 * @param {{ onWait?: (owner: string) => void, pollMs?: number }} options `onWait` is called once, with who holds it
 * @returns {Promise<T>}
 */
export async function withLock(path, work, { onWait = () => {}, pollMs = 200 } = {}) {
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), token: randomUUID() })
  let waited = false
  while (!tryTake(path, mine)) {
    const holder = readHolder(path)
    if (holder?.stale) {
      takeAway(path, holder.text)
      continue
    }
    if (holder && !waited) onWait(holder.owner)
    waited = true
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
  const release = () => {
    if (readHolder(path)?.text === mine) rmSync(path, { force: true })
  }
  process.on('exit', release)
  const beat = setInterval(() => {
    const now = new Date()
    try {
      utimesSync(path, now, now)
    } catch {
      // Somebody removed the lock by hand; the work is still worth finishing.
    }
  }, BEAT_MS)
  try {
    return await work()
  } finally {
    clearInterval(beat)
    process.off('exit', release)
    release()
  }
}

/** @param {string} path @param {string} mine */
function tryTake(path, mine) {
  try {
    writeFileSync(path, mine, { flag: 'wx' })
    return true
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false
    throw error
  }
}

/** @param {string} path @returns {{ text: string, owner: string, stale: boolean } | undefined} undefined: not held */
function readHolder(path) {
  let text = ''
  let age = 0
  try {
    text = readFileSync(path, 'utf8')
    age = Date.now() - statSync(path).mtimeMs
  } catch {
    return undefined
  }
  try {
    const { pid, host } = JSON.parse(text)
    const died = host === hostname() && !isAlive(pid)
    return { text, owner: `process ${pid} on ${host}`, stale: died || age > STALE_MS }
  } catch {
    // Caught between creation and writing, or left half written by a crash.
    return { text, owner: 'another process', stale: age > BEAT_MS }
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'
  }
}

// Two waiters may judge the same lock stale. Renaming moves whatever is there now, so a lock that a quicker waiter has
// just taken is recognised by its text and put back.
/** @param {string} path @param {string} staleText */
function takeAway(path, staleText) {
  const aside = `${path}.${randomUUID()}`
  try {
    renameSync(path, aside)
  } catch {
    return
  }
  if (readFileSync(aside, 'utf8') !== staleText) {
    try {
      linkSync(aside, path)
    } catch {
      // A third process has taken the lock meanwhile; it is valid as it is.
    }
  }
  rmSync(aside, { force: true })
}
