import { expect, it } from 'vitest'
import { type Device, program, reference, runProgram } from './index'

async function constantOf(device: Device, value: number): Promise<number> {
  const [x] = [device.zeros([1])]
  const [y] = runProgram(
    program('constant', 1, 0, (b, _) => b.constant(value)),
    [x],
  )
  const result = await y.item()
  for (const t of [x, y]) t.dispose()
  return result
}

it('a program takes any number as a constant, NaN and negative zero too', async () => {
  const device = await reference()
  for (const value of [Number.NaN, -0, 0, Number.POSITIVE_INFINITY, 0.5]) {
    expect(await constantOf(device, value)).toBe(value)
  }
  const both = program('both zeros', 0, 0, b => [b.constant(0), b.constant(-0)])
  expect(both.constants).toEqual([0, -0])
})

it('a program beyond the limits is refused when it is built', () => {
  expect(() => program('too many', 9, 0, (b, x) => b.neg(x))).toThrow(/too many: 9 inputs, at most 8/)
})
