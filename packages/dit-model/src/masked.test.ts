import { backward, type Device, reference, scope, sum, type Tensor } from '@ditkit/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { anyValid, clearPadding, maskedMax, maskedMean } from './masked'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => expect(device.memory().liveTensors).toBe(0))

// Two samples of three tokens of two channels; the second sample has none.
const VALUES = [-3, 5, -1, 7, Number.NaN, Number.NaN, Number.NaN, 1, 2, Number.NaN, 3, 4]
const MASK = Uint8Array.of(1, 1, 0, 0, 0, 0)

/** The result of `of`, and the gradient of its sum. */
async function evaluate(of: (x: Tensor, mask: Tensor) => Tensor) {
  const x = device.tensor(VALUES, [2, 3, 2], { requiresGrad: true })
  const out = scope(() => {
    const result = of(x, device.tensor(MASK, [2, 3]))
    backward(sum(result))
    return result
  })
  const result = { out: [...(await out.data())], gradient: [...(await x.grad!.data())] }
  for (const tensor of [out, x]) tensor.dispose()
  return result
}

it('clears what is masked out, and its gradient', async () => {
  expect(await evaluate(clearPadding)).toEqual({
    out: [-3, 5, -1, 7, 0, 0, 0, 0, 0, 0, 0, 0],
    gradient: [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  })
})

it('takes the maximum over what is left, 0 over nothing', async () => {
  expect(await evaluate(maskedMax)).toEqual({
    out: [-1, 7, 0, 0],
    gradient: [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  })
})

it('takes the mean over what is left, 0 over nothing', async () => {
  expect(await evaluate(maskedMean)).toEqual({
    out: [-2, 6, 0, 0],
    gradient: [0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 0, 0, 0],
  })
})

it('says which samples have a token', async () => {
  const some = scope(() => anyValid(device.tensor(MASK, [2, 3])))
  expect([...(await some.data())]).toEqual([1, 0])
  some.dispose()
})
