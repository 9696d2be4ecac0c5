import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { add, backward, type Device, mul, reference, scope } from './index'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

let device: Device
beforeEach(async () => {
  device = await reference()
})
afterEach(() => {
  expect(device.memory()).toMatchObject({ liveTensors: 0, liveBytes: 0 })
})

describe('a handle', () => {
  it('ends with its block when it is declared with `using`', () => {
    {
      using x = device.ones([2])
      using y = add(x, 1)
      expect(y.disposed).toBe(false)
      expect(device.memory().liveTensors).toBe(2)
    }
  })

  it('that is lost is freed by the garbage collector, with its gradient and its history', async () => {
    const lose = () => {
      const x = device.ones([3], { requiresGrad: true })
      const y = mul(mul(x, x), 2)
      scope(() => backward(mul(x, 3), device.ones([3])))
      expect(x.grad).toBeDefined()
      return y.size
    }
    lose()
    expect(device.memory().liveTensors).toBeGreaterThan(0)
    for (let i = 0; i < 100 && device.memory().liveTensors > 0; i++) {
      collectGarbage()
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })
})
