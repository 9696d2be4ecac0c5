// The set-up lock: one at a time, taken over from the dead, and never left behind.
import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { withLock } from '../lock.mjs'

let folder = ''
let lock = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'))
  lock = join(folder, 'setup.lock')
})
afterEach(() => rmSync(folder, { recursive: true }))

const heldBy = (pid: number, host = hostname()) => JSON.stringify({ pid, host, token: 'other' })
const anHourAgo = new Date(Date.now() - 3_600_000)

describe('withLock', () => {
  it('runs one holder at a time', async () => {
    let inside = 0
    let most = 0
    const work = async () => {
      most = Math.max(most, ++inside)
      await new Promise(resolve => setTimeout(resolve, 20))
      inside--
    }
    await Promise.all([1, 2, 3, 4].map(() => withLock(lock, work, { pollMs: 2 })))
    expect(most).toBe(1)
    expect(readdirSync(folder)).toEqual([])
  })

  it('gives the lock back when the work fails, and passes the failure on', async () => {
    await expect(withLock(lock, () => Promise.reject(new Error('disk full')))).rejects.toThrow('disk full')
    expect(existsSync(lock)).toBe(false)
  })

  it('takes over from a process that has died', async () => {
    // Above the largest process id of Linux and macOS.
    writeFileSync(lock, heldBy(2 ** 30))
    expect(await withLock(lock, async () => 'done', { pollMs: 2 })).toBe('done')
    expect(readdirSync(folder)).toEqual([])
  })

  it('waits for a live process, says who it is once, and goes on when that is done', async () => {
    writeFileSync(lock, heldBy(process.pid))
    const waits: string[] = []
    const result = withLock(lock, async () => 'done', { onWait: owner => waits.push(owner), pollMs: 2 })
    await new Promise(resolve => setTimeout(resolve, 30))
    expect(waits).toEqual([`process ${process.pid} on ${hostname()}`])
    rmSync(lock)
    expect(await result).toBe('done')
  })

  it('waits for another machine while it keeps its lock fresh, and takes over when it does not', async () => {
    writeFileSync(lock, heldBy(1, 'elsewhere'))
    let waited = false
    const result = withLock(lock, async () => 'done', { onWait: () => (waited = true), pollMs: 2 })
    await new Promise(resolve => setTimeout(resolve, 30))
    expect(waited).toBe(true)
    utimesSync(lock, anHourAgo, anHourAgo)
    expect(await result).toBe('done')
  })

  it('takes over a lock that was left half written', async () => {
    writeFileSync(lock, '{"pid":')
    utimesSync(lock, anHourAgo, anHourAgo)
    expect(await withLock(lock, async () => 'done', { pollMs: 2 })).toBe('done')
  })
})
