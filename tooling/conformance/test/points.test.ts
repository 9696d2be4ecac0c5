// Selection of points on every device: what the reference chooses, to the last bit; whatever the order of the points and whatever
// the padding holds.

import {
  ballQuery,
  type Device,
  farthestPoints,
  gatherPoints,
  hostFarthestPoints,
  nearestPoints,
  reference,
  scopeAsync,
  slice,
  type Tensor,
} from '@ditkit/core'
import { hashIntegers, hashNormal } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testDevices } from '../src/devices'

interface Clouds {
  readonly shape: [batch: number, total: number, three: number]
  readonly points: Float32Array
  readonly mask: Uint8Array
}

/** Clouds of points; `lattice`: of whole coordinates, where most distances tie. A third of them is padding, `pad` by value. */
function clouds(name: string, batch: number, total: number, lattice: boolean, pad: number): Clouds {
  const shape: [number, number, number] = [batch, total, 3]
  const values = hashNormal(name, shape)
  const mask = Uint8Array.from(hashIntegers(`${name}/mask`, batch * total, 3), i => Number(i > 0))
  const points = Float32Array.from(values, (v, i) => (mask[Math.floor(i / 3)] ? (lattice ? Math.round(v) : v) : pad))
  return { shape, points, mask }
}

const CASES = [1, 7, 59, 147, 587, 5000].flatMap(total =>
  [false, true].map(lattice => [`${total} points${lattice ? ' of a lattice' : ''}`, total, lattice] as const),
)

type Results = Record<string, number[]>

/** What all the ops choose; the clouds are views of something larger where `view` says so. */
async function selected(device: Device, c: Clouds, queries: Clouds, view = false): Promise<Results> {
  return scopeAsync(async s => {
    const upload = (data: Float32Array | Uint8Array, shape: number[]): Tensor => {
      if (!view) return device.tensor(data, shape)
      const wide = new (data.constructor as Float32ArrayConstructor)(data.length * 2).fill(1)
      const row = data.length / shape[0]
      for (let b = 0; b < shape[0]; b++)
        wide.set(data.subarray(b * row, (b + 1) * row) as Float32Array, (2 * b + 1) * row)
      const [batch, ...rest] = shape
      const twice = device.tensor(wide, [batch, 2 * rest[0], ...rest.slice(1)])
      return slice(twice, 1, rest[0], 2 * rest[0])
    }
    const results = s.run(() => {
      const points = upload(c.points, c.shape)
      const mask = upload(c.mask, c.shape.slice(0, 2))
      const from = upload(queries.points, queries.shape)
      const queryMask = upload(queries.mask, queries.shape.slice(0, 2))
      return {
        few: farthestPoints(points, 5, { mask }),
        many: farthestPoints(points, Math.min(600, c.shape[1] + 3), { mask }),
        nearest: nearestPoints(from, points, 1, { mask, queryMask }),
        neighbours: nearestPoints(from, points, 33, { mask, queryMask }),
        ball: ballQuery(from, points, 0.5, 20, { mask, queryMask }),
      }
    })
    const read: Results = {}
    for (const [op, tensors] of Object.entries(results)) {
      for (const [what, tensor] of Object.entries(tensors))
        read[`${op} ${what}`] = [...(await (tensor as Tensor).data())]
    }
    return read
  })
}

let exact: Device
beforeAll(async () => {
  exact = await reference()
})
afterAll(() => exact.dispose())

for (const { name, open, skipped } of testDevices()) {
  describe.skipIf(skipped)(`points on ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
    let device: Device
    beforeAll(async () => {
      device = await open()
    })
    afterAll(() => {
      expect(device.memory().liveTensors, 'live tensors').toBe(0)
      expect(device.memory().liveBytes, 'live bytes').toBe(0)
      device.dispose()
    })

    it.each(CASES)('%s: what the reference chooses, bit for bit', async (_, total, lattice) => {
      const c = clouds(`cloud ${total}`, 3, total, lattice, 0)
      const queries = clouds(`queries ${total}`, 3, 19, lattice, 0)
      const wanted = await selected(exact, c, queries)
      expect(await selected(device, c, queries)).toEqual(wanted)
      expect(await selected(device, c, queries, true), 'of views').toEqual(wanted)
    })

    it('what padding holds has no influence', async () => {
      const results = [0, 1e30, Number.NaN, Number.NEGATIVE_INFINITY].map(pad =>
        selected(device, clouds('padded', 2, 147, false, pad), clouds('padded queries', 2, 19, false, pad)),
      )
      const [wanted, ...others] = await Promise.all(results)
      for (const got of others) expect(got).toEqual(wanted)
    })

    it('the order of the points has no influence on which are chosen', async () => {
      const [total, count] = [587, 200]
      const c = clouds('permuted', 1, total, true, Number.NaN)
      const order = Array.from({ length: total }, (_, i) => (i * 101) % total)
      const moved = {
        ...c,
        points: Float32Array.from(order.flatMap(i => [...c.points.subarray(3 * i, 3 * i + 3)])),
        mask: Uint8Array.from(order, i => c.mask[i]),
      }
      const coordinates = ({ points, mask, shape }: Clouds) =>
        scopeAsync(async s => {
          const x = s.run(() => device.tensor(points, shape))
          const chosen = s.run(() => farthestPoints(x, count, { mask: device.tensor(mask, shape.slice(0, 2)) }))
          return [...(await s.run(() => gatherPoints(x, chosen.indices)).data())]
        })
      expect(await coordinates(moved)).toEqual(await coordinates(c))
    })

    it('a sample without points, and one with fewer than asked for, leave slots empty', async () => {
      await scopeAsync(async s => {
        const points = s.run(() => device.tensor(hashNormal('few', [3, 4, 3]), [3, 4, 3]))
        const mask = s.run(() => device.tensor([0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1], [3, 4], { dtype: 'f32' }))
        const chosen = s.run(() => farthestPoints(points, 3, { mask }))
        expect([...(await chosen.mask.data())]).toEqual([0, 0, 0, 1, 1, 0, 1, 1, 1])
        const indices = [...(await chosen.indices.data())]
        expect(indices.slice(0, 3)).toEqual([0, 0, 0])
        expect(indices.slice(3, 5).sort()).toEqual([1, 3])
        const found = s.run(() => nearestPoints(points, points, 3, { mask }))
        expect([...(await found.mask.data()).slice(0, 15)]).toEqual([...Array(12).fill(0), 1, 1, 0])
        const none = s.run(() => nearestPoints(slice(points, 1, 0, 0), slice(points, 1, 0, 0), 2))
        expect(none.indices.shape).toEqual([3, 0, 2])
        const empty = s.run(() => farthestPoints(slice(points, 1, 0, 0), 2))
        expect([...(await empty.mask.data())]).toEqual([0, 0, 0, 0, 0, 0])
      })
    })

    it('what only the data shows rejects the next read, naming the call', async () => {
      await scopeAsync(async s => {
        const values = Float32Array.of(0, 0, 0, 1, Number.NaN, 0, 2, 0, 0)
        const points = s.run(() => device.tensor(values, [1, 3, 3]))
        const read = (run: () => { indices: Tensor }) => s.run(run).indices.data()
        await expect(read(() => farthestPoints(points, 2))).rejects.toThrow(
          /^farthestPoints: points holds a value that is not finite \(leave such points out by mask\) \(called .*points\.test/,
        )
        await expect(read(() => nearestPoints(points, slice(points, 1, 0, 1), 2))).rejects.toThrow(
          /^nearestPoints: queries holds a value that is not finite/,
        )
        const binary = s.run(() => device.tensor([1, 0, 2], [1, 3], { dtype: 'i32' }))
        await expect(read(() => ballQuery(slice(points, 1, 0, 1), points, 1, 2, { mask: binary }))).rejects.toThrow(
          /^ballQuery: mask holds a value other than 0 and 1/,
        )
        const outside = s.run(() => gatherPoints(points, device.tensor(Int32Array.of(3), [1, 1])))
        await expect(outside.data()).rejects.toThrow(/^gatherPoints: index 3 at position 0 is outside 0 … 2/)
        const mask = s.run(() => device.tensor(Uint8Array.of(1, 0, 1), [1, 3]))
        const chosen = s.run(() => farthestPoints(points, 2, { mask }))
        expect([...(await chosen.indices.data())].sort()).toEqual([0, 2])
      })
    })

    it('bad operands are named at the call', async () => {
      await scopeAsync(async s =>
        s.run(() => {
          const points = device.zeros([2, 4, 3])
          const flat = device.zeros([4, 3])
          const whole = device.zeros([2, 4, 3], { dtype: 'i32' })
          const mask = device.ones([2, 5], { dtype: 'bool' })
          expect(() => farthestPoints(flat, 1)).toThrow('farthestPoints: points has shape [4, 3] (expected [B, P, 3])')
          expect(() => farthestPoints(whole, 1)).toThrow('farthestPoints: points is i32 (expected a float dtype)')
          expect(() => farthestPoints(points, 0)).toThrow('count is 0 (expected a whole number ≥ 1)')
          expect(() => farthestPoints(points, 1, { mask })).toThrow('mask has shape [2, 5] (expected [2, 4])')
          expect(() => nearestPoints(flat, points, 1)).toThrow('queries has shape [4, 3] (expected [B, Q, 3])')
          expect(() => nearestPoints(slice(points, 0, 0, 1), points, 1)).toThrow(
            '(expected one dtype, [B, Q, 3] and [B, P, 3])',
          )
          expect(() => nearestPoints(points, points, 1.5)).toThrow('count is 1.5')
          expect(() => ballQuery(points, points, 0, 1)).toThrow('ballQuery: radius is 0 (expected a number > 0)')
          expect(() => gatherPoints(points, flat)).toThrow('indices is f')
          expect(() => gatherPoints(points, device.zeros([3, 1], { dtype: 'i32' }))).toThrow(
            '(expected [B, P, …C] and [B, …S])',
          )
        }),
      )
    })
  })
}

it('the host chooses what devices choose', async () => {
  const c = clouds('host', 1, 587, false, Number.NaN)
  const { 'many indices': indices, 'many mask': mask } = await selected(exact, c, c)
  const chosen = [...hostFarthestPoints(c.points, 600, { mask: c.mask })]
  expect(chosen).toEqual(indices.filter((_, i) => mask[i]))
})
