import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  ATTENTION_CONTRACT,
  type AttentionKernel,
  type AttentionProblem,
  attention,
  backward,
  createDevice,
  type Device,
  explainAttention,
  reference,
  referenceBackend,
  type Tensor,
} from '../index'

/** A kernel that writes a constant, to see who ran. */
function constant(name: string, value: number, overrides: Partial<AttentionKernel> = {}): AttentionKernel {
  return {
    name,
    contract: ATTENTION_CONTRACT,
    features: new Set(['causal']),
    supports: () => true,
    forward(_, __, ctx) {
      const out = ctx.output('out')
      ctx.backend.fill(out, value)
      return { out, saved: [] }
    },
    backward(problem, _, __, ___, ctx) {
      const names = (['q', 'k', 'v'] as const).filter(operand => problem.gradients[operand])
      for (const operand of names) ctx.backend.fill(ctx.output(operand), value)
      return Object.fromEntries(names.map(operand => [operand, ctx.output(operand)]))
    },
    ...overrides,
  }
}

let device: Device
let x: Tensor
let warn: ReturnType<typeof vi.spyOn>
beforeEach(() => {
  warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
})
afterEach(() => {
  warn.mockRestore()
  device.dispose()
})

async function open(...kernels: AttentionKernel[]): Promise<void> {
  device = await reference({ attention: kernels })
  x = device.ones([1, 2, 1, 4], { requiresGrad: true })
}

describe('a kernel that wants to be prepared', () => {
  it('is, once, when the device is made', async () => {
    const prepare = vi.fn(async () => {})
    await open(constant('tuned', 1, { prepare }))
    expect(prepare).toHaveBeenCalledExactlyOnceWith(device.backend)
    expect(explainAttention(x, x, x).choice).toBe('tuned')
  })

  it('is refused, with the reason, when that fails', async () => {
    const prepare = async () => {
      throw new Error('no compiler')
    }
    await open(constant('tuned', 1, { prepare }), constant('plain', 2))
    const { choice, candidates } = explainAttention(x, x, x)
    expect(choice).toBe('plain')
    expect(candidates[0]).toMatchObject({ status: 'refused', reason: 'it could not be prepared: no compiler' })
  })

  it('is refused on a device that was made without preparing it', async () => {
    await open()
    const backend = referenceBackend({ attention: [constant('tuned', 1, { prepare: async () => {} })] })
    const unprepared = createDevice(backend)
    const { candidates } = explainAttention(unprepared, explainAttention(x, x, x).problem)
    expect(candidates[0]).toMatchObject({ status: 'refused', reason: expect.stringMatching(/openDevice/) })
    unprepared.dispose()
  })
})

describe('attention takes', () => {
  it("the device's first kernel, and its backward", async () => {
    await open(constant('first', 1), constant('second', 2))
    const out = attention(x, x, x)
    expect(await out.data()).toEqual(new Float32Array(8).fill(1))
    backward(out, device.ones([1, 2, 1, 4]))
    expect(await x.grad?.data()).toEqual(new Float32Array(8).fill(3))
    expect(warn).not.toHaveBeenCalled()
  })

  it('the next one for what the first does not know, and says so once', async () => {
    await open(constant('first', 1), constant('second', 2, { features: new Set(['scale' as never, 'keyMask']) }))
    const keyMask = device.ones([1, 2], { dtype: 'bool' })
    for (let i = 0; i < 3; i++)
      expect(await attention(x, x, x, { keyMask }).data()).toEqual(new Float32Array(8).fill(2))
    expect(warn).toHaveBeenCalledTimes(1)
    expect(warn.mock.calls[0][0]).toContain(
      'attention runs in the slower kernel second, because first: it does not know keyMask',
    )
  })

  it('chunked where no kernel of the device can', async () => {
    await open(constant('first', 1, { supports: () => ({ reason: 'it is Tuesday' }) }))
    expect((await attention(x, x, x).data())[0]).toBeCloseTo(1, 6)
    expect(warn.mock.calls[0][0]).toContain('slower kernel chunked, because first: it is Tuesday')
  })

  it('chunked without a word where the device has none', async () => {
    await open()
    expect(explainAttention(x, x, x).choice).toBe('chunked')
    attention(x, x, x)
    expect(warn).not.toHaveBeenCalled()
  })

  it('the kernel that is asked for, and throws its reason when it cannot', async () => {
    await open(constant('first', 1), constant('second', 2))
    expect(await attention(x, x, x, { kernel: 'second' }).data()).toEqual(new Float32Array(8).fill(2))
    const bias = device.ones([2, 2])
    expect(() => attention(x, x, x, { kernel: 'second', bias })).toThrow(
      'attention: no kernel can: second: it does not know bias',
    )
  })
})

describe('explainAttention', () => {
  it('refuses a kernel of another contract with that reason, and goes on', async () => {
    await open(constant('old', 1, { contract: ATTENTION_CONTRACT - 1 }), constant('new', 2))
    const { choice, candidates } = explainAttention(x, x, x, { causal: true })
    expect(choice).toBe('new')
    expect(candidates.map(c => [c.kernel, c.status])).toEqual([
      ['old', 'refused'],
      ['new', 'chosen'],
      ['chunked', 'not needed'],
      ['standard', 'not needed'],
    ])
    expect(candidates[0].reason).toContain(`built for attention contract ${ATTENTION_CONTRACT - 1}`)
  })

  it('describes the problem, and answers the same for the problem alone', async () => {
    await open(constant('first', 1))
    const bias = device.ones([1, 1, 2, 2], { requiresGrad: true })
    const explained = explainAttention(x, x, x, { bias, causal: 'bottom-right' })
    const expected: Partial<AttentionProblem> = {
      batch: 1,
      queryTokens: 2,
      keyTokens: 2,
      heads: 1,
      dim: 4,
      valueDim: 4,
      dtype: 'f32',
      scale: 0.5,
      causal: 'bottom-right',
      biasShape: [1, 1, 2, 2],
      gradients: { q: true, k: true, v: true, bias: true, factors: false },
    }
    expect(explained.problem).toMatchObject(expected)
    expect([...explained.problem.features].sort()).toEqual(['bias', 'causal'])
    expect(explainAttention(device, explained.problem)).toEqual(explained)
  })

  it('leaves no tensor behind', async () => {
    await open()
    const before = device.memory().liveTensors
    explainAttention(x, x, x, { causal: true })
    expect(device.memory().liveTensors).toBe(before)
  })
})
