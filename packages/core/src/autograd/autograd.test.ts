import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  add,
  assign,
  backward,
  concat,
  customOp,
  type Device,
  detach,
  disposeAll,
  dropout,
  exp,
  gatedResidual,
  grad,
  keep,
  layerNorm,
  linear,
  matmul,
  mean,
  modulatedLayerNorm,
  mul,
  noGrad,
  normal,
  recompute,
  reference,
  reshape,
  rngKey,
  scope,
  scopeAsync,
  slice,
  softmax,
  square,
  sum,
  type Tensor,
} from '../index'

let device: Device

beforeEach(async () => {
  device = await reference({ dtype: 'f64' })
})

afterEach(() => {
  expect(device.memory().liveTensors).toBe(0)
  expect(device.memory().liveBytes).toBe(0)
})

const random = (shape: number[], seed: number, requiresGrad = true) =>
  normal(device, shape, rngKey(seed), { requiresGrad })

/** Compares backward's gradients of Σ fn(inputs)·w with central differences. */
async function checkGradients(shapes: number[][], fn: (...inputs: Tensor[]) => Tensor): Promise<void> {
  await scopeAsync(async s => {
    const inputs = s.run(() => shapes.map((shape, i) => random(shape, i + 1)))
    const weight = s.run(() => random(fn(...inputs).shape as number[], 99, false))
    s.run(() => backward(sum(mul(fn(...inputs), weight))))
    const loss = async (values: Tensor[]) => {
      const t = s.run(() => noGrad(() => sum(mul(fn(...values), weight))))
      return t.item()
    }
    for (const [i, input] of inputs.entries()) {
      const host = await input.data()
      const got = await (input.grad as Tensor).data()
      for (let e = 0; e < host.length; e += Math.max(1, Math.floor(host.length / 5))) {
        const h = 1e-5
        const moved = async (delta: number) => {
          const copy = host.slice()
          copy[e] += delta
          const t = s.run(() => device.tensor(copy, input.shape))
          return loss(inputs.map((other, j) => (j === i ? t : other)))
        }
        const slope = ((await moved(h)) - (await moved(-h))) / (2 * h)
        expect(Math.abs(got[e] - slope), `input ${i} element ${e}: ${got[e]} against ${slope}`).toBeLessThan(
          1e-6 * Math.max(1, Math.abs(slope)),
        )
      }
    }
  })
}

describe('gradients agree with finite differences', () => {
  it('of broadcasting products and sums', () =>
    checkGradients(
      [
        [3, 1, 5],
        [4, 1],
      ],
      (a, b) => add(mul(a, b), mul(b, 3)),
    ))
  it('of matmul with a broadcast batch', () =>
    checkGradients(
      [
        [2, 3, 4],
        [4, 5],
      ],
      (a, b) => matmul(a, b),
    ))
  it('of linear with gelu and bias', () =>
    checkGradients([[2, 3, 4], [5, 4], [5]], (x, w, b) => linear(x, w, b, { activation: 'gelu' })))
  it('of linear over a strided view', () =>
    checkGradients([[2, 3, 8], [5, 4], [5]], (x, w, b) => linear(slice(x, 2, 2, 6), w, b)))
  it('of softmax along a middle axis', () => checkGradients([[2, 5, 3]], x => softmax(x, 1)))
  it('of layerNorm', () => checkGradients([[4, 7], [7], [7]], (x, w, b) => layerNorm(x, { weight: w, bias: b })))
  it('of modulatedLayerNorm and gatedResidual', () =>
    checkGradients(
      [
        [2, 3, 5],
        [2, 6, 5],
      ],
      (x, m) => gatedResidual(x, m, 2, square(modulatedLayerNorm(x, m, 0, 1))),
    ))
  it('of recompute, with a parameter it captures and one graph below it', () =>
    checkGradients([[3, 4], [4]], (x, w) =>
      mul(
        recompute(a => exp(mul(a, w)), mul(x, 0.5)),
        w,
      ),
    ))
})

describe('the tape', () => {
  it('accumulates into .grad and frees saved activations', async () => {
    const x = random([3], 1)
    scope(() => backward(sum(square(x))))
    scope(() => backward(sum(square(x))))
    const [value, slope] = [await x.data(), await (x.grad as Tensor).data()]
    for (let i = 0; i < 3; i++) expect(slope[i]).toBeCloseTo(4 * value[i], 12)
    expect(device.memory().liveTensors).toBe(2) // x and its gradient
    x.dispose()
  })

  it('grad() touches no .grad, reaches results, and gives zeros where nothing depends', async () => {
    await scopeAsync(async s => {
      const [x, other] = s.run(() => [random([3], 1), random([2], 2)])
      const middle = s.run(() => square(x))
      const gradients = s.run(() => grad(sum(mul(middle, 2)), [middle, x, other]))
      expect(x.grad).toBeUndefined()
      expect([...(await gradients[0].data())]).toEqual([2, 2, 2])
      expect((await gradients[1].data())[0]).toBeCloseTo(4 * (await x.data())[0], 12)
      expect([...(await gradients[2].data())]).toEqual([0, 0])
    })
  })

  it('refuses to differentiate twice', () => {
    scope(() => {
      const y = sum(square(random([3], 1)))
      backward(y)
      expect(() => backward(y)).toThrow(/differentiated before/)
    })
  })

  it('refuses a saved tensor that was changed in place, naming it', () => {
    scope(() => {
      const w = random([3], 1)
      w.name = 'blocks.0.weight'
      const y = sum(mul(w, w))
      assign(w, random([3], 2, false))
      expect(() => backward(y)).toThrow(/mul.*blocks\.0\.weight/)
    })
  })

  it('frees a graph that is never differentiated, however deep', () => {
    scope(() => {
      let y = random([1], 1)
      for (let i = 0; i < 20_000; i++) y = add(y, 1)
    })
  })

  it('cuts off at detach and noGrad', () => {
    scope(() => {
      const x = random([3], 1)
      expect(detach(square(x)).requiresGrad).toBe(false)
      expect(noGrad(() => square(x)).requiresGrad).toBe(false)
      expect(() => backward(noGrad(() => sum(x)))).toThrow(/does not depend/)
    })
  })

  it('sums gradients of a tensor used twice by one op without sharing memory between leaves', async () => {
    await scopeAsync(async s => {
      const [a, b] = s.run(() => [random([3], 1), random([3], 2)])
      s.run(() => backward(sum(add(a, b))))
      s.run(() => backward(sum(a)))
      expect([...(await (a.grad as Tensor).data())]).toEqual([2, 2, 2])
      expect([...(await (b.grad as Tensor).data())]).toEqual([1, 1, 1])
    })
  })

  it('never sums into memory that its caller or another branch still holds', async () => {
    await scopeAsync(async s => {
      const [x, g] = s.run(() => [random([1, 2, 3], 1), random([1, 2, 3], 2, false)])
      const before = await g.data()
      s.run(() => {
        const p = mul(x, 1)
        // The residual's gradient is g itself; the branch adds to it.
        backward(gatedResidual(p, device.ones([1, 1, 3]), 0, mul(p, 2)), g)
      })
      expect(await g.data()).toEqual(before)
      expect(await x.grad?.data()).toEqual((before as Float64Array).map(value => value + 2 * value))
    })
  })

  it('hands a gradient to its leaf without copying it', () => {
    scope(() => {
      const [x, w, b] = [random([4, 3], 1), random([5, 3], 2), random([5], 3)]
      const y = linear(x, w, b)
      const copy = vi.spyOn(device.backend, 'copy')
      backward(y, device.ones([4, 5]))
      expect(copy).not.toHaveBeenCalled()
      copy.mockRestore()
      expect([x.grad?.shape, w.grad?.shape, b.grad?.shape]).toEqual([[4, 3], [5, 3], [5]])
    })
  })

  it("accumulates into memory of the leaf's own, row-major whatever came", async () => {
    await scopeAsync(async s => {
      const [x, g] = s.run(() => [random([3], 1), random([3], 2, false)])
      const before = (await g.data()) as Float64Array
      // A reshape passes on the caller's very memory.
      s.run(() => backward(reshape(x, [3]), g))
      expect(x.grad?.storage).not.toBe(g.storage)
      s.run(() => backward(reshape(x, [3]), g))
      expect(await g.data()).toEqual(before)
      expect(await x.grad?.data()).toEqual(before.map(value => 2 * value))
      // One gives a single number with stride 0, the other every second element.
      const strided = customOp({
        name: 'strided',
        forward: (_, a) => mul(a, 1),
        backward: (_, gradient) => [slice(concat([gradient, gradient], 1), 1, 0, 1)],
      })
      for (const op of [sum, strided]) {
        const y = s.run(() => random([3, 1], 3))
        s.run(() => {
          const out = op(y)
          backward(out, device.ones(out.shape))
        })
        expect(y.grad?.contiguous).toBe(true)
        expect(Array.from((await y.grad?.data()) ?? [])).toEqual([1, 1, 1])
      }
    })
  })

  it('of dropout passes where the forward pass kept, and nowhere else', async () => {
    await scopeAsync(async s => {
      const x = s.run(() => device.ones([200], { requiresGrad: true }))
      const y = s.run(() => dropout(x, 0.3, rngKey(5)))
      s.run(() => backward(sum(y)))
      const kept = await y.data()
      expect(new Set(kept)).toEqual(new Set([0, 1 / 0.7]))
      expect(await x.grad?.data()).toEqual(kept)
    })
  })

  it('takes the paths that meet again after the last of them, whatever their lengths', () =>
    checkGradients([[3]], x => {
      let long = x
      for (let i = 0; i < 5; i++) long = mul(long, 1.1)
      const middle = mul(long, x)
      return add(mul(middle, x), add(mul(long, middle), mul(x, long)))
    }))

  it('runs a custom op with its own gradient', async () => {
    const cube = customOp({
      name: 'cube',
      forward: (context, x) => {
        context.save(x)
        return mul(x, square(x))
      },
      backward: ({ saved }, g) => [mul(g, mul(square(saved[0]), 3))],
    })
    await checkGradients([[4]], x => cube(x))
  })
})

describe('recompute', () => {
  it('refuses a parameter that was changed before its second run', () => {
    const [x, w] = [random([3], 1), random([3], 2)]
    w.name = 'w'
    const y = recompute(a => mul(a, w), x)
    assign(w, x)
    expect(() => backward(y, x)).toThrow(/recompute: parameter w was changed in place/)
    for (const t of [x, w, y]) t.dispose()
  })

  it('gives grad() the gradient of a parameter that only its function reads', async () => {
    await scopeAsync(async s => {
      const [x, w] = s.run(() => [random([3], 1, false), random([3], 2)])
      const [dw] = s.run(() => grad(sum(recompute(a => mul(a, w), x)), [w]))
      expect(await dw.data()).toEqual(await x.data())
      expect(w.grad).toBeUndefined()
    })
  })

  it('is not on the tape where nothing requires a gradient', () => {
    const x = random([3], 1, false)
    const y = recompute(a => mul(a, a), x)
    expect(y.requiresGrad).toBe(false)
    for (const t of [x, y]) t.dispose()
  })

  it('passes the gradient of a parameter that is its result', async () => {
    const [x, w] = [random([3], 1), random([3], 2)]
    const y = recompute(() => w, x)
    backward(y, x)
    expect(await w.grad?.data()).toEqual(await x.data())
    for (const t of [x, w, y]) t.dispose()
  })
})

describe('a custom op', () => {
  it('runs the kernel of its device, where it has one', async () => {
    const make = (name: string) =>
      customOp({
        name: 'op',
        forward: (_, x) => mul(x, 2),
        backward: (_, g) => [g],
        kernels: { [name]: (_, x) => mul(x, 3) },
      })
    await scopeAsync(async s => {
      const x = s.run(() => device.ones([1]))
      expect(await s.run(() => make('reference')(x)).item()).toBe(3)
      expect(await s.run(() => make('cuda')(x)).item()).toBe(2)
    })
  })

  it('is refused a gradient of another shape, or no tensor', () => {
    const wrong = customOp({
      name: 'wrong',
      forward: (_, x) => mul(x, 2),
      backward: (_, g) => [sum(g)],
    })
    const x = random([3], 1)
    const y = wrong(x)
    expect(() => backward(y, x)).toThrow(
      /backward of wrong: the gradient of input 0 has shape \[\] but the input has \[3\]/,
    )
    expect(() => wrong(3 as unknown as Tensor)).toThrow(/wrong: operand 0 is number/)
    for (const t of [x, y]) t.dispose()

    const second = customOp({
      name: 'second',
      forward: (_, a, b) => mul(a, b),
      backward: (_, g) => [mul(g, 2), sum(g)],
    })
    const [a, b] = [random([3], 1), random([3], 2)]
    const z = second(a, b)
    // The first gradient was right already; afterEach sees that it is gone.
    expect(() => backward(z, a)).toThrow(/the gradient of input 1 has shape \[\]/)
    expect(a.grad).toBeUndefined()
    for (const t of [a, b, z]) t.dispose()
  })
})

describe('ownership', () => {
  it('a scopeAsync that outlives the scope it began in hands its result to the caller', async () => {
    let pending: Promise<Tensor> | undefined
    scope(() => {
      pending = scopeAsync(async s => {
        const x = s.run(() => device.ones([2]))
        await x.data()
        return x
      })
    })
    const x = (await pending) as Tensor
    expect(x.disposed).toBe(false)
    expect(x.scope).toBeUndefined()
    x.dispose()
  })

  it('scope keeps what is returned or kept, and frees the rest', () => {
    let kept: Tensor | undefined
    const { y } = scope(() => {
      const x = device.ones([2])
      kept = keep(device.ones([3]))
      return { y: add(x, 1) }
    })
    expect(device.memory().liveTensors).toBe(2)
    y.dispose()
    kept?.dispose()
  })

  it('throws on a freed tensor and names where it was freed', () => {
    const x = device.ones([2])
    x.dispose()
    expect(() => add(x, 1)).toThrow(/freed by dispose\(\)[\s\S]*autograd\.test/)
    const y = device.ones([2])
    const lost: Tensor[] = []
    scope(() => {
      lost.push(add(y, 1))
    })
    expect(() => add(lost[0], 1)).toThrow(/end of a scope[\s\S]*autograd\.test/)
    y.dispose()
  })

  it('names the function whose inside a tensor was made in', () => {
    const lost: Tensor[] = []
    const layer = () => scope(() => void lost.push(device.ones([2])), 'Layer.forward')
    layer()
    expect(() => add(lost[0], 1)).toThrow(/freed by the end of Layer\.forward$/)
  })

  it('lets tensors leave a scope in any order', () => {
    const made: Tensor[] = []
    scope(() => {
      for (let i = 0; i < 6; i++) made.push(device.ones([2]))
      for (const i of [2, 0, 5]) keep(made[i])
      made[3].dispose()
      scope(() => keep(made[1]))
      expect(device.memory().liveTensors).toBe(5)
    })
    expect(made.map(tensor => tensor.disposed)).toEqual([false, false, false, true, true, false])
    for (const i of [0, 1, 2, 5]) made[i].dispose()
  })

  it('frees many at once, and notes the place of all of them once', () => {
    const made = [device.ones([2]), undefined, device.ones([2])]
    const capture = vi.spyOn(Error, 'captureStackTrace')
    disposeAll(made)
    expect(capture).toHaveBeenCalledTimes(1)
    capture.mockRestore()
    for (const tensor of [made[0], made[2]])
      expect(() => add(tensor as Tensor, 1)).toThrow(/freed by disposeAll\(\)[\s\S]*autograd\.test/)
  })

  it('notes no place, which costs more than an op, for what ops and backward free themselves', () => {
    const [x, w] = [random([2, 3], 1), random([4, 3], 2)]
    scope(() => {
      const capture = vi.spyOn(Error, 'captureStackTrace')
      const y = softmax(linear(x, w, undefined, { activation: 'gelu' }))
      backward(sum(mul(add(y, y), y)))
      expect(capture).not.toHaveBeenCalled()
      capture.mockRestore()
    })
    disposeAll([x, w])
  })

  it('refuses Promises in scope and noGrad', () => {
    expect(() => scope(async () => 1)).toThrow(/Promise/)
    expect(() => noGrad(async () => 1)).toThrow(/Promise/)
  })

  it('a reshape shares storage, and the storage outlives the first handle', async () => {
    const x = device.tensor([1, 2, 3, 4], [4])
    const y = reshape(x, [2, 2])
    expect(y.storage).toBe(x.storage)
    x.dispose()
    expect([...(await y.data())]).toEqual([1, 2, 3, 4])
    y.dispose()
  })

  it('interleaved async scopes do not mix up their tensors', async () => {
    const work = (n: number) =>
      scopeAsync(async s => {
        let x = s.run(() => device.full([2], n))
        for (let i = 0; i < 3; i++) {
          await new Promise(resolve => setTimeout(resolve, 1))
          x = s.run(() => add(x, 1))
        }
        return s.run(() => mean(x)).item()
      })
    expect(await Promise.all([work(0), work(10)])).toEqual([3, 13])
  })
})
