import { type Device, reference, reshape } from '@ditkit/core'
import { beforeAll, describe, expect, it } from 'vitest'
import { patchify, unpatchify } from './patches'

let device: Device
beforeAll(async () => {
  device = await reference()
})

const range = (n: number) => Float32Array.from({ length: n }, (_, i) => i)

describe('patches', () => {
  it('are rows of channel, row, column, in row-major order of the grid', async () => {
    const rows = patchify(device.tensor(range(2 * 4 * 6), [1, 2, 4, 6]), 2)
    expect(rows.shape).toEqual([1, 6, 8])
    const values = [...(await rows.data())]
    expect(values.slice(0, 8)).toEqual([0, 1, 6, 7, 24, 25, 30, 31])
    expect(values.slice(8, 16)).toEqual([2, 3, 8, 9, 26, 27, 32, 33])
    expect(values.slice(24, 32)).toEqual([12, 13, 18, 19, 36, 37, 42, 43])
  })

  it('go back with channels innermost', async () => {
    const image = unpatchify(device.tensor(range(6 * 8), [1, 6, 8]), 2, 2, 3)
    expect(image.shape).toEqual([1, 2, 4, 6])
    const values = [...(await image.data())]
    // Channel 0, first two rows: patches 0, 1, 2; in a patch, entry (row, column, channel) is (row·2 + column)·2 + channel.
    expect(values.slice(0, 12)).toEqual([0, 2, 8, 10, 16, 18, 4, 6, 12, 14, 20, 22])
    expect(values[24]).toBe(1)
  })

  it('of one channel are undone exactly', async () => {
    const image = device.tensor(range(2 * 6 * 4), [2, 1, 6, 4])
    const back = unpatchify(patchify(image, 2), 2, 3, 2)
    expect(await back.data()).toEqual(await reshape(image, [2, 1, 6, 4]).data())
  })
})
