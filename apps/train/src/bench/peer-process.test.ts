// The protocol, with a peer of a few lines, and what is said when there is no peer.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
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

/** Stands in for @jax-js/jax: has room for two arrays, and after a failure only fails. */
const FAKE_PACKAGE = `
  let live = 0
  let broken = false
  const must = fine => {
    broken ||= !fine
    if (broken) throw new Error('out of memory')
  }
  export const init = () => {}, defaultDevice = init, blockUntilReady = init, nn = {}
  export const tree = { ref: x => x, dispose: x => { if (Array.isArray(x)) live -= x.length } }
  export const numpy = { array: (_, { shape }) => { must(++live <= 2); return shape } }
  export const jit = () => Object.assign(x => must(x[0] < 8), { dispose() {} })
`

describe('a peer that is an npm package', () => {
  const cache = mkdtempSync(join(tmpdir(), 'ditkit-peers-'))
  const folder = join(cache, 'ditkit', 'peers', 'jax-js', 'node_modules', '@jax-js', 'jax')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'index.js'), FAKE_PACKAGE)
  writeFileSync(join(folder, 'package.json'), '{ "version": "0.0.0", "type": "module", "main": "index.js" }')
  const gemm = (m: number) => ({ kind: 'gemm', m, n: 1, k: 1 }) as const
  let peers: Peers
  beforeEach(() => {
    vi.stubEnv('XDG_CACHE_HOME', cache)
    peers = new Peers({ python: 'python3', pythonOpenblas: 'python3', threads: 1 })
  })
  afterEach(() => {
    peers.close()
    vi.unstubAllEnvs()
  })
  afterAll(() => rmSync(cache, { recursive: true }))

  it('frees what a problem held when it is dropped', async () => {
    for (let i = 0; i < 3; i++) {
      const subject = await peers.subject('jax-js', gemm(1), 1)
      expect(subject.name).toBe('jax-js wasm 0.0.0')
      expect(await subject.run()).toBeGreaterThanOrEqual(0)
      await subject.close()
    }
  })

  it('starts anew after a failure, which leaves nothing behind', async () => {
    const tooLarge = await peers.subject('jax-js', gemm(8), 1)
    await expect(tooLarge.run()).rejects.toThrow('jax-js: out of memory')
    await tooLarge.close()
    const next = await peers.subject('jax-js', gemm(1), 1)
    expect(await next.run()).toBeGreaterThanOrEqual(0)
    const makingFails = peers.subject('jax-js', gemm(1), 1)
    await expect(makingFails).rejects.toThrow('jax-js: out of memory')
    expect(await (await peers.subject('jax-js', gemm(1), 1)).run()).toBeGreaterThanOrEqual(0)
  })

  it('says of steps too large for WebAssembly that it cannot, and goes on', async () => {
    const step = { kind: 'step', dtype: 'f32', batch: 8, size: 32, patch: 2, channels: 4, classes: 1000 } as const
    const refusal = peers.subject('jax-js', { ...step, width: 384, depth: 12, heads: 6 }, 1)
    await expect(refusal).rejects.toBeInstanceOf(CannotExpress)
    await expect(refusal).rejects.toThrow(/backward needs about 9 GB at this size, and WebAssembly has at most/)
    expect(await (await peers.subject('jax-js', gemm(1), 1)).run()).toBeGreaterThanOrEqual(0)
  })
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
