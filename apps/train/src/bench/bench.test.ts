import { describe, expect, it, vi } from 'vitest'
import { bench, withPeers } from './bench'
import { ditkitSubject, peakSubject } from './ditkit-subject'
import { type Experiment, problemOf } from './experiment'
import { experimentsFor } from './experiments'
import { flopsOf, type Problem, repeatsOf } from './problem'
import { runExperiment } from './run-experiment'
import { alternate, median, type Subject } from './subject'

const REQUEST = { python: 'python3', pythonOpenblas: 'python3', threads: 2, runs: 5 }

function scripted(name: string, log: string[], ...seconds: (number | Error)[]): Subject {
  return {
    name,
    async run() {
      log.push(name)
      const next = seconds.shift()
      if (typeof next !== 'number') throw next
      return next
    },
    close: async () => void log.push(`${name} closed`),
  }
}

describe('a comparison', () => {
  it('warms all sides up and then runs them in turns, each round from the other end', async () => {
    const log: string[] = []
    const sides = [scripted('a', log, 9, 1, 3, 2), scripted('b', log, 9, 6, 4, 5)]
    const [a, b] = await alternate(sides, { runs: 3, warmUp: 1 })
    expect(log.join('')).toBe('abba'.repeat(2))
    expect(a).toEqual({ name: 'a', seconds: [1, 3, 2] })
    expect(b.seconds).toEqual([6, 4, 5])
  })

  it('goes on without a side that fails, and keeps the reason', async () => {
    const log: string[] = []
    const sides = [scripted('a', log, 1, new Error('out of luck')), scripted('b', log, 1, 2, 3)]
    const [a, b] = await alternate(sides, { runs: 3, warmUp: 0 })
    expect(a).toEqual({ name: 'a', seconds: [1], failure: 'out of luck' })
    expect(b.seconds).toEqual([1, 2, 3])
    expect(log.join('')).toBe('abbab')
  })

  it('takes the mean of the middle two when their number is even', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
  })

  it('of fewer than five runs is refused, as are unknown cases', async () => {
    await expect(bench({ ...REQUEST, group: 'step', runs: 3 })).rejects.toThrow('fewer than five')
    await expect(bench({ ...REQUEST, group: 'ops', pattern: 'gemm' })).rejects.toThrow(/--case gemm: .* ops add 16x16/)
  })

  it('whose figures could not be written is refused before it is made', async () => {
    const lines = vi.spyOn(console, 'log').mockImplementation(() => {})
    await expect(bench({ ...REQUEST, group: 'ops', json: '/no/such/folder/bench.json' })).rejects.toThrow(
      '--json /no/such/folder/bench.json: folder /no/such/folder does not exist',
    )
    expect(lines).not.toHaveBeenCalled()
    lines.mockRestore()
  })

  it('in which ditkit itself never ran is an error, with the reason', async () => {
    const lines = vi.spyOn(console, 'log').mockImplementation(() => {})
    const request = { ...REQUEST, group: 'ops', pattern: 'sum', threads: 1000, quick: true } as const
    await expect(bench(request)).rejects.toThrow('ditkit ran nothing: cpu: threads is 1000')
    lines.mockRestore()
  })
})

describe('the table', () => {
  const machines = [
    { isas: ['baseline', 'avx2', 'avx512', 'amx'], isa: 'amx', threads: 2 },
    { isas: ['baseline', 'avx2', 'avx512'], isa: 'avx512', threads: 2 },
    { isas: ['baseline', 'avx2'], isa: 'avx2', threads: 1 },
    { isas: ['neon'], isa: 'neon', threads: 2 },
  ]

  it.each(machines)('names only sides it has, and each experiment once, on $isa', machine => {
    const experiments = experimentsFor(machine)
    for (const { rows, sides, memory = [] } of experiments) {
      for (const { ours, against } of rows) {
        expect(sides).toHaveProperty([ours])
        if (against !== undefined) expect(sides).toHaveProperty([against])
      }
      for (const { side } of memory) expect(sides).toHaveProperty([side])
    }
    expect(new Set(experiments.map(({ name }) => name)).size).toBe(experiments.length)
  })

  it('holds each instruction set against its own FMA peak, and those beyond FMA against the best one', () => {
    const [{ sides }] = experimentsFor({ isas: ['baseline', 'avx2', 'avx512', 'amx'], isa: 'amx', threads: 2 })
    const peaks = Object.entries(sides).filter(([, { by }]) => by === 'peak')
    expect(peaks.map(([name, { isa }]) => [name, isa])).toContainEqual(['peak amx 2', 'avx512'])
    expect(peaks.map(([name, { isa }]) => [name, isa])).toContainEqual(['peak avx2 1', 'avx2'])
  })

  const [TWO, ONE] = machines.slice(1)

  it('compares with the peers that were asked for, and with no other', () => {
    const mnist = experimentsFor(TWO).find(({ name }) => name === 'step mnist')!
    const own = withPeers(mnist, [])
    expect(own.rows.map(({ against }) => against)).toEqual(['1 thread'])
    const torch = withPeers(mnist, ['torch'])
    expect(Object.keys(torch.sides)).toEqual(['ditkit', '1 thread', 'torch'])
    const onnx = withPeers(mnist, ['onnxruntime'])
    expect(onnx.rows.at(-1)).toMatchObject({ ours: 'ditkit', against: 'onnxruntime' })
    const single = withPeers(experimentsFor(ONE).find(({ name }) => name === 'step mnist')!, [])
    expect(single.rows).toEqual([{ work: 'MNIST-size DiT step, batch 64', ours: 'ditkit' }])
  })
})

describe('ditkit’s side', () => {
  const attention = { kind: 'attention', batch: 2, heads: 2, queries: 5, keys: 40, dim: 8, rank: 3 } as const
  const problems: Problem[] = [
    { kind: 'gemm', m: 60, n: 30, k: 20 },
    { ...attention, bias: 'none', backward: false, lengths: [40, 7] },
    { ...attention, bias: 'dense', backward: true },
    { ...attention, bias: 'shared factors', backward: true },
    { ...attention, bias: 'factors per head', backward: false },
    {
      ...{ kind: 'step', dtype: 'f32', batch: 2, size: 8, patch: 4, channels: 1 },
      classes: 10,
      width: 32,
      depth: 1,
      heads: 2,
    } as const,
    {
      ...({ kind: 'step', dtype: 'bf16', batch: 2, size: 8, patch: 4, channels: 1 } as const),
      ...{ classes: 10, width: 32, depth: 1, heads: 2 },
    },
    ...(['add', 'mul', 'gelu', 'softmax', 'layerNorm', 'sum'] as const).map(
      (op, i): Problem => ({ kind: 'op', op, rows: 16, columns: 512, tape: i % 2 === 0 }),
    ),
    { kind: 'collate', scenes: 5, batch: 2, workers: 0 },
    ...(['farthest', 'nearest', 'ball'] as const).flatMap(op =>
      [false, true].map((host): Problem => ({ kind: 'points', op, batch: 2, points: 99, queries: 5, count: 7, host })),
    ),
  ]

  it.each(problems)('runs $kind $bias $op', async problem => {
    const subject = await ditkitSubject(problem, { threads: 1 })
    expect(await subject.run()).toBeGreaterThan(0)
    const bytes = await subject.workingBytes?.()
    if (problem.kind === 'attention') expect(bytes).toBeGreaterThanOrEqual(0)
    else expect(bytes).toBeUndefined()
    await subject.close()
  })

  it('of a product is as exact as f32 allows', async () => {
    const subject = await ditkitSubject({ kind: 'gemm', m: 60, n: 30, k: 200 }, { threads: 1 })
    expect(await subject.accuracy?.()).toBeLessThan(2e-6)
    expect(await subject.accuracy?.()).toBeGreaterThan(0)
    await subject.close()
  })

  it('is measured against the time its arithmetic takes at the FMA peak', async () => {
    const problem = { kind: 'gemm', m: 1000, n: 1000, k: 500 } as const
    const seconds = await peakSubject(problem, { threads: 1, isa: 'baseline' }).run()
    expect(flopsOf(problem)! / seconds).toBeGreaterThan(1e8)
  })
})

it('padding does not count as arithmetic, and short problems are repeated', () => {
  const problem = {
    kind: 'attention',
    batch: 2,
    heads: 1,
    queries: 10,
    keys: 100,
    dim: 4,
    bias: 'none',
    backward: false,
  } as const
  expect(flopsOf(problem)).toBe(2 * 2 * 2 * 10 * 100 * 4)
  expect(flopsOf({ ...problem, lengths: [100, 0] })).toBe(2 * 2 * 10 * 100 * 4)
  expect(repeatsOf(problem)).toBeGreaterThan(100)
  expect(repeatsOf({ kind: 'gemm', m: 4096, n: 4096, k: 4096 })).toBe(1)
  expect(repeatsOf({ kind: 'gemm', m: 1024, n: 384, k: 384 })).toBe(99)
  const step = {
    kind: 'step',
    dtype: 'f32',
    batch: 64,
    size: 28,
    patch: 4,
    channels: 1,
    classes: 10,
    heads: 4,
  } as const
  expect(repeatsOf({ ...step, width: 128, depth: 4 })).toBe(5)
  expect(repeatsOf({ ...step, width: 384, depth: 12 })).toBe(1)
})

describe('an experiment', () => {
  const experiment: Experiment = {
    name: 'tiny',
    group: 'gemm',
    problem: { kind: 'gemm', m: 8, n: 8, k: 8 },
    sides: { ditkit: { by: 'ditkit', threads: 1 }, torch: { by: 'torch', change: { m: 16 } }, tfjs: { by: 'tfjs' } },
    rows: [{ work: 'a tiny product', ours: 'ditkit', against: 'torch' }],
    accuracy: true,
  }

  it('gives each side its own problem, and keeps why a side could not be made', async () => {
    const log: string[] = []
    const asked: unknown[] = []
    const { sides } = await runExperiment(
      experiment,
      { runs: 2, warmUp: 1 },
      {
        threads: 3,
        peer: async (name, problem, threads) => {
          if (name === 'tfjs') throw new Error('not installed')
          asked.push({ name, problem, threads })
          return scripted(name, log, 1, 1, 1)
        },
      },
    )
    expect(asked).toEqual([{ name: 'torch', problem: { kind: 'gemm', m: 16, n: 8, k: 8 }, threads: 3 }])
    expect(problemOf(experiment, experiment.sides.ditkit)).toEqual(experiment.problem)
    expect(sides.tfjs).toMatchObject({ name: 'tfjs', seconds: [], failure: 'not installed' })
    expect(sides.torch.seconds).toEqual([1, 1])
    expect(sides.ditkit.seconds).toHaveLength(2)
    expect(sides.ditkit.accuracy).toBeLessThan(1e-5)
    expect(log.at(-1)).toBe('torch closed')
  })
})
