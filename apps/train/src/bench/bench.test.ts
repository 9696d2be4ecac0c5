import { describe, expect, it } from 'vitest'
import { openDevice } from '../device'
import { bench } from './bench'
import { casesOf } from './cases'
import { alternate, median } from './subject'
import { torchPeer } from './torch-peer'

describe('a comparison', () => {
  it('warms all sides up and then runs them in turns', async () => {
    const log: string[] = []
    const side = (name: string, ...seconds: number[]) => ({
      name,
      run: async () => {
        log.push(name)
        return seconds.shift()!
      },
      close: async () => {},
    })
    const [a, b] = await alternate([side('a', 9, 1, 3, 2), side('b', 9, 6, 4, 5)], 3, 1)
    expect(log.join('')).toBe('ab'.repeat(4))
    expect(a).toEqual({ name: 'a', seconds: [1, 3, 2], median: 2 })
    expect(b.median).toBe(5)
  })

  it('takes the mean of the middle two when their number is even', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
  })

  it('of fewer than five runs is refused', async () => {
    await expect(bench({ what: 'step', python: 'python3', threads: 2, runs: 3 })).rejects.toThrow('fewer than five')
  })

  it('with a Python that cannot run PyTorch says so, and the way out', async () => {
    const problem = { case: 'gemm', m: 1, n: 1, k: 1, repeat: 1 }
    await expect(torchPeer(process.execPath, 1, problem)).rejects.toThrow(/cannot run PyTorch: .*--python PATH/)
    await expect(torchPeer('/no/such/python', 1, problem)).rejects.toThrow(/cannot run PyTorch: .*ENOENT/)
  })
})

it('ditkit’s side of a case runs to its end and leaves nothing behind', async () => {
  const device = await openDevice({ device: 'cpu' })
  const [{ subject }] = casesOf('attention')
  const side = subject(device)
  await side.run()
  const { liveTensors, liveBytes } = device.memory()
  expect(await side.run()).toBeGreaterThan(0)
  expect(device.memory()).toMatchObject({ liveTensors, liveBytes })
  device.dispose()
})
