// The protocol, with a peer of a few lines, and what is said when there is no peer.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { npmPeerCommand } from './npm-peers'
import { CannotExpress, PeerProcess } from './peer-process'
import { Peers } from './peers'
import { torchCommand } from './torch-peers'

/** Answers like a library that chatters: seconds are the number of the problem plus one. */
const FAKE = `
  console.log('Hello from a library')
  const problems = new Map()
  require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
    const message = JSON.parse(line)
    const say = answer => console.log(JSON.stringify(answer))
    if ('make' in message) {
      const { kind } = message.problem
      if (kind === 'dies') { console.error('Segmentation fault'); process.exit(3) }
      if (kind === 'odd') return say({ cannot: 'a fake has no odd problems' })
      problems.set(message.make, message)
      return say({ name: 'fake ' + kind + ' ' + message.threads + ' ' + message.repeats })
    }
    if ('drop' in message) { problems.delete(message.drop); return say({}) }
    if ('run' in message) {
      if (!problems.has(message.run)) return say({ error: 'no such problem' })
      return say({ seconds: message.run + 1 })
    }
    say({ bytes: 5 })
  })
`
const COMMAND = {
  label: 'a fake',
  command: process.execPath,
  args: ['-e', FAKE],
  env: process.env,
  wayOut: 'do without it',
}

describe('a peer', () => {
  let peer: PeerProcess
  afterEach(() => peer.close())

  it('holds several problems at once, each with its threads and repeats', async () => {
    peer = new PeerProcess(COMMAND)
    const [a, b] = [await peer.make({ kind: 'a' }, 2, 7), await peer.make({ kind: 'b' }, 1, 1)]
    expect([a.name, b.name]).toEqual(['fake a 2 7', 'fake b 1 1'])
    expect([await b.run(), await a.run()]).toEqual([2, 1])
    expect(await a.accuracy?.()).toBeUndefined()
    expect(await a.workingBytes?.()).toBe(5)
    await a.close()
    await expect(a.run()).rejects.toThrow('a fake: no such problem')
    expect(await b.run()).toBe(2)
  })

  it('says what it cannot express, and goes on', async () => {
    peer = new PeerProcess(COMMAND)
    const refusal = peer.make({ kind: 'odd' }, 1, 1)
    await expect(refusal).rejects.toBeInstanceOf(CannotExpress)
    await expect(refusal).rejects.toThrow('a fake has no odd problems')
    expect((await peer.make({ kind: 'a' }, 1, 1)).name).toBe('fake a 1 1')
  })

  it('that dies gives its last words, at once and ever after', async () => {
    peer = new PeerProcess(COMMAND)
    const other = await peer.make({ kind: 'a' }, 1, 1)
    await expect(peer.make({ kind: 'dies' }, 1, 1)).rejects.toThrow(
      /cannot run a fake: Segmentation fault; do without it/,
    )
    expect(peer.alive).toBe(false)
    await expect(other.run()).rejects.toThrow('Segmentation fault')
    await other.close()
  })
})

it.each([process.execPath, '/no/such/python'])(
  'a Python that cannot run PyTorch is named with the way out: %s',
  async python => {
    const peers = new Peers({ python, pythonOpenblas: python, threads: 1 })
    const gemm = { kind: 'gemm', m: 1, n: 1, k: 1 } as const
    await expect(peers.subject('torch', gemm, 1)).rejects.toThrow(/cannot run PyTorch: .*; say --python PATH/)
    await expect(peers.subject('torch-openblas', gemm, 1)).rejects.toThrow(
      /cannot run PyTorch: .*; say --python-openblas PATH/,
    )
    peers.close()
  },
)

it('a Python keeps its OpenBLAS free to choose, unless a core type is given', () => {
  vi.stubEnv('OPENBLAS_CORETYPE', 'PRESCOTT')
  expect(torchCommand('python3', 3, '--python').env).toMatchObject({ OMP_NUM_THREADS: '3' })
  expect(torchCommand('python3', 3, '--python').env).not.toHaveProperty('OPENBLAS_CORETYPE')
  expect(torchCommand('python3', 3, '--python', 'ZEN').env).toMatchObject({ OPENBLAS_CORETYPE: 'ZEN' })
  vi.unstubAllEnvs()
})

it('an npm package that is not there is named with the command that installs it', () => {
  const cache = mkdtempSync(join(tmpdir(), 'ditkit-peers-'))
  vi.stubEnv('XDG_CACHE_HOME', cache)
  expect(() => npmPeerCommand('jax-js', 2)).toThrow(
    /jax-js is not installed .*ditkit bench --peer jax-js --install-peers/,
  )
  vi.unstubAllEnvs()
  rmSync(cache, { recursive: true })
})
