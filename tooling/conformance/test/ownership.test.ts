// Who called outside every scope disposes what they were given, and nothing else may be left: ops, attention, losses, modules,
// optimizers, samplers and solvers, each called bare. A leak here is device memory that only the garbage collector would find.

import {
  add,
  attention,
  attentionWeights,
  backward,
  cast,
  concat,
  contiguous,
  customOp,
  type Device,
  detach,
  dropout,
  expand,
  explainAttention,
  fromAdditiveMask,
  fromBatchHeads,
  fromBlockedMask,
  fromSequenceFirst,
  grad,
  mergeHeads,
  mul,
  noGrad,
  normal,
  packedAttention,
  packedCrossAttention,
  randomBits,
  recompute,
  rngKey,
  scope,
  splitHeads,
  type Tensor,
  toAdditiveMask,
  toBatchHeads,
  toBlockedMask,
  toSequenceFirst,
  uniform,
} from '@ditkit/core'
import {
  addNoise,
  convertTarget,
  ddimSample,
  ddpmSample,
  diffusionLoss,
  diffusionSchedule,
  learnedLogVariance,
  posteriorMean,
  splitVariance,
  trueTarget,
  variationalBound,
} from '@ditkit/diffusion'
import { DiT, timestepEmbedding } from '@ditkit/dit-model'
import {
  bitsPerDim,
  convertPrediction,
  flowMatchingLoss,
  interpolate,
  linearPath,
  logLikelihood,
  odeSolve,
  targetVelocity,
} from '@ditkit/flow-matching'
import {
  AdamW,
  clipGradNorm,
  Dropout,
  EMA,
  Embedding,
  LayerNorm,
  Linear,
  MLP,
  type Module,
  MultiheadAttention,
  RMSNorm,
  Sequential,
  SGD,
} from '@ditkit/nn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testDevices } from '../src/devices'
import { deviceInputs } from '../src/op-inputs'
import { OPS } from '../src/ops'

type Call = (device: Device) => readonly Tensor[] | Tensor | undefined | Promise<readonly Tensor[] | Tensor | undefined>

/** A module with its weights and their gradients gone at the end. */
async function withModule<M extends Module>(module: M, use: (module: M) => unknown): Promise<undefined> {
  await use(module)
  module.dispose()
  return undefined
}

const key = rngKey(1)
const x3 = (device: Device) => normal(device, [2, 5, 8], key)
const schedule = diffusionSchedule({ steps: 4 })
const images = [2, 3, 4, 4]

/** Runs `fn` on noise [2, 3, 4, 4] tensors and disposes them afterwards. */
function onImages(
  device: Device,
  count: number,
  fn: (...x: Tensor[]) => Tensor | readonly Tensor[],
): readonly Tensor[] {
  const inputs = Array.from({ length: count }, (_, i) => normal(device, images, rngKey(i), { requiresGrad: true }))
  const out = fn(...inputs)
  const results = Array.isArray(out) ? (out as readonly Tensor[]) : [out as Tensor]
  return [...results, ...inputs]
}

async function withImages(device: Device, fn: (x: Tensor) => Promise<Tensor>): Promise<readonly Tensor[]> {
  const x = normal(device, images, key)
  return [await fn(x), x]
}

/** A forward pass of a module on x [2, 5, 8], differentiated. */
function train(module: { forward(x: Tensor): Tensor } & Module, device: Device): Promise<undefined> {
  return withModule(module, () => {
    const x = x3(device)
    const y = module.forward(x)
    backward(y, y)
    for (const t of [x, y]) t.dispose()
  })
}

const cube = customOp({
  name: 'cube',
  forward: (c, x) => {
    c.save(x)
    return mul(x, mul(x, x))
  },
  backward: ({ saved: [x] }, g) => [mul(g, mul(3, mul(x, x)))],
})

const dit = (device: Device) =>
  new DiT(device, key, {
    inputSize: 4,
    patchSize: 2,
    inChannels: 3,
    hiddenSize: 8,
    depth: 2,
    numHeads: 2,
    numClasses: 3,
  })

const CALLS: Record<string, Call> = {
  normal: device => normal(device, [3], key),
  uniform: device => uniform(device, [3], key),
  randomBits: device => randomBits(device, [3], key),
  'dropout, expand, cast, contiguous and detach, where they have nothing to do': device => {
    const x = x3(device)
    const same = [dropout(x, 0, key), expand(x, x.shape), cast(x, x.dtype), contiguous(x), detach(x)]
    for (const t of same) t.dispose()
    expect(x.disposed, 'a result is a handle of its own').toBe(false)
    return x
  },
  dropout: device => {
    const x = normal(device, [3, 4], key, { requiresGrad: true })
    const y = dropout(x, 0.5, key)
    backward(y, y)
    return [x, y]
  },
  recompute: device => {
    const x = normal(device, [3, 4], key, { requiresGrad: true })
    const y = recompute(a => add(mul(a, a), 1), x)
    backward(y, y)
    return [x, y]
  },
  customOp: device => {
    const x = normal(device, [3, 4], key, { requiresGrad: true })
    const y = cube(x)
    backward(y, y)
    return [x, y]
  },
  grad: device => {
    const x = normal(device, [3, 4], key, { requiresGrad: true })
    const y = mul(x, x)
    return [x, y, ...grad(y, [x, y], y)]
  },
  'attention with every option': device => {
    const make = (shape: number[]) => normal(device, shape, key, { requiresGrad: true })
    const [q, k, v] = [make([2, 5, 2, 4]), make([2, 6, 2, 4]), make([2, 6, 2, 3])]
    const bias = make([1, 2, 5, 6])
    const factoredBias = { query: make([1, 5, 1, 2]), key: make([2, 6, 2, 2]) }
    const options = {
      keyMask: device.ones([2, 6], { dtype: 'bool' }),
      queryMask: device.ones([2, 5], { dtype: 'i32' }),
      keyLengths: device.tensor(Int32Array.of(6, 3), [2]),
      queryLengths: device.tensor(Int32Array.of(5, 2), [2]),
      mask: scope(() => fromBlockedMask(device.zeros([5, 6], { dtype: 'bool' }))),
      bias,
      factoredBias,
      causal: true,
      dropout: 0.2,
      rng: key,
    }
    const out = attention(q, k, v, options)
    backward(out, out)
    explainAttention(q, k, v, options)
    const weights = attentionWeights(q, k, options)
    const { keyMask, queryMask, keyLengths, queryLengths, mask } = options
    const tensors = [keyMask, queryMask, keyLengths, queryLengths, mask, bias, ...Object.values(factoredBias)]
    return [q, k, v, out, weights, ...tensors]
  },
  'masks and layouts of other code': device => {
    const additive = device.tensor([0, Number.NEGATIVE_INFINITY, 1, 2], [2, 2], { requiresGrad: true })
    const { mask, bias } = fromAdditiveMask(additive)
    const x = x3(device)
    const first = fromSequenceFirst(x)
    const heads = splitHeads(first, 2)
    const pairs = normal(device, [4, 3, 3], key)
    const split = fromBatchHeads(pairs, 2)
    const others = [toBlockedMask(mask), toAdditiveMask(mask, bias), toSequenceFirst(first), mergeHeads(heads)]
    return [additive, mask, bias, x, first, heads, pairs, split, toBatchHeads(split, 2, 2), ...others]
  },
  'attention of a packed batch': device => {
    const q = normal(device, [1, 7, 2, 4], key, { requiresGrad: true })
    const offsets = device.tensor(Int32Array.of(0, 3, 7), [3])
    const out = attention(q, q, q, { offsets: { query: offsets, key: offsets }, causal: 'bottom-right' })
    backward(out, out)
    return [q, offsets, out]
  },
  'attention without keys': device => {
    const [q, k] = [normal(device, [1, 3, 2, 4], key, { requiresGrad: true }), device.zeros([1, 0, 2, 4])]
    const out = attention(q, k, k)
    backward(out, out)
    return [q, k, out]
  },
  packedAttention: device => {
    const qkv = normal(device, [2, 5, 3, 2, 4], key, { requiresGrad: true })
    const out = packedAttention(qkv)
    backward(out, out)
    return [qkv, out]
  },
  packedCrossAttention: device => {
    const q = normal(device, [2, 4, 2, 4], key, { requiresGrad: true })
    const kv = normal(device, [2, 5, 2, 2, 4], key, { requiresGrad: true })
    const out = packedCrossAttention(q, kv)
    backward(out, out)
    return [q, kv, out]
  },
  Linear: device => train(new Linear(device, key, 8, 3), device),
  LayerNorm: device => train(new LayerNorm(device, 8), device),
  RMSNorm: device => train(new RMSNorm(device, 8), device),
  MLP: device => train(new MLP(device, key, 8, 16), device),
  Sequential: device => train(new Sequential(new Linear(device, key, 8, 8), new MLP(device, key, 8, 4)), device),
  'MultiheadAttention on itself': device => train(new MultiheadAttention(device, key, 8, 2), device),
  'MultiheadAttention with masks of PyTorch and its weights': device =>
    withModule(new MultiheadAttention(device, key, 8, 2, { addBiasKV: true, outputDropout: 0.1 }), module => {
      const [x, attnMask, keyPaddingMask] = [
        x3(device),
        device.zeros([4, 5, 5]),
        device.zeros([2, 5], { dtype: 'bool' }),
      ]
      const { out, weights } = module.forwardWithWeights({ q: x, attnMask, keyPaddingMask, rng: key })
      backward(out, out)
      for (const t of [x, attnMask, keyPaddingMask, out, weights]) t.dispose()
    }),
  'MultiheadAttention on a memory': device =>
    withModule(new MultiheadAttention(device, key, 8, 2), module => {
      const [x, memory, value] = [x3(device), x3(device), x3(device)]
      for (const y of [module.forward(x, memory), module.forward(x, memory, value)]) {
        backward(y, y)
        y.dispose()
      }
      for (const t of [x, memory, value]) t.dispose()
    }),
  Embedding: device =>
    withModule(new Embedding(device, key, 5, 4), module => {
      const index = device.tensor(Int32Array.of(1, 1, 4), [3])
      const y = module.forward(index)
      backward(y, y)
      for (const t of [index, y]) t.dispose()
    }),
  Dropout: device => {
    const x = x3(device)
    return [x, new Dropout(0.5).forward(x, key)]
  },
  'AdamW with EMA and clipping, SGD, clipGradNorm': device =>
    withModule(new Linear(device, key, 8, 3), async module => {
      const ema = new EMA(module, { decay: 0.9 })
      const adamw = new AdamW(module, { ema, maxGradNorm: 1 })
      const sgd = new SGD(module, { momentum: 0.9, nesterov: true, weightDecay: 0.1 })
      const x = x3(device)
      for (let step = 0; step < 2; step++) {
        const y = module.forward(x)
        backward(y, y)
        y.dispose()
        clipGradNorm(module.parameters(), 1).dispose()
        adamw.step()
        sgd.step()
        ema.update()
        adamw.zeroGrad()
      }
      await adamw.lastStep()
      await ema.whileApplied(() => ema.stateDict())
      await adamw.loadStateDict(await adamw.stateDict())
      await sgd.loadStateDict(await sgd.stateDict())
      await module.loadStateDict(await module.stateDict())
      await ema.loadStateDict(await ema.stateDict(), { updates: 1 })
      x.dispose()
      for (const owner of [ema, adamw, sgd]) owner.dispose()
    }),
  DiT: device =>
    withModule(dit(device), model => {
      const x = normal(device, images, key)
      const y = model.forward(x, [1, 500], [0, 2], { key })
      backward(y, y)
      model.eval()
      const guided = noGrad(() => model.forwardWithGuidance(x, 3, [1, 2], 2))
      for (const t of [x, y, guided]) t.dispose()
    }),
  timestepEmbedding: device => timestepEmbedding(device, [1, 2]),
  addNoise: device => onImages(device, 2, (x0, noise) => addNoise(schedule, x0, noise, [0, 3])),
  trueTarget: device => onImages(device, 2, (x0, noise) => trueTarget(schedule, 'v', x0, noise, [0, 3])),
  convertTarget: device => onImages(device, 2, (p, xt) => convertTarget(schedule, 'v', 'x0', p, xt, [0, 3])),
  posteriorMean: device => onImages(device, 2, (x0, xt) => posteriorMean(schedule, x0, xt, [0, 3])),
  learnedLogVariance: device => onImages(device, 1, raw => learnedLogVariance(schedule, raw, [0, 3])),
  splitVariance: device => {
    const x = normal(device, [2, 6, 4, 4], key)
    return [x, ...splitVariance(x, 3)]
  },
  variationalBound: device =>
    onImages(device, 4, (p, raw, x0, xt) => variationalBound(schedule, 'epsilon', p, raw, x0, xt, [0, 3])),
  diffusionLoss: device =>
    onImages(device, 2, (x0, noise) => {
      const options = { schedule, t: [0, 3], noise, variance: 'learned-range' as const }
      const loss = diffusionLoss(xt => concat([xt, mul(xt, 0.1)], 1), x0, options)
      backward(loss)
      return loss
    }),
  ddpmSample: device => ddpmSample(device, x => mul(x, 0.5), images, { schedule, key }),
  ddimSample: device =>
    withImages(device, start =>
      ddimSample(device, x => x, images, { schedule, key, start, target: 'x0', clipData: false }),
    ),
  interpolate: device => onImages(device, 2, (x0, x1) => interpolate(linearPath, x0, x1, [0.1, 0.7])),
  targetVelocity: device => onImages(device, 2, (x0, x1) => targetVelocity(linearPath, x0, x1, [0.1, 0.7])),
  convertPrediction: device =>
    onImages(device, 2, (p, xt) => convertPrediction(linearPath, 'velocity', 'noise', p, xt, [0.1, 0.7])),
  flowMatchingLoss: device =>
    onImages(device, 2, (x0, x1) => {
      const loss = flowMatchingLoss(xt => mul(xt, 2), x1, { x0, t: [0.1, 0.7] })
      backward(loss)
      return loss
    }),
  'odeSolve, fixed steps': device => withImages(device, x => odeSolve(y => mul(y, -1), x, { method: 'rk4', steps: 3 })),
  'odeSolve, dopri5, of a velocity that is one tensor of the caller': device =>
    withImages(device, async x => {
      const velocity = normal(device, images, key)
      const y = await odeSolve(() => velocity, x, { method: 'dopri5', rtol: 1e-2, atol: 1e-2 })
      expect(velocity.disposed).toBe(false)
      velocity.dispose()
      return y
    }),
  'odeSolve, dopri5, over no time': device =>
    withImages(device, async x => {
      const y = await odeSolve(a => mul(a, 2), x, { method: 'dopri5', from: 0.5, to: 0.5 })
      expect(y).not.toBe(x)
      return y
    }),
  logLikelihood: device =>
    withImages(device, x => logLikelihood(y => mul(y, -0.5), x, { key, probes: 2, method: 'midpoint', steps: 2 })),
  bitsPerDim: device => onImages(device, 1, x => bitsPerDim(x, 48)),
}

/** What a call that fails must leave behind: nothing. */
const FAILURES: Record<string, (device: Device) => unknown> = {
  'backward through a custom op whose gradient throws': device => {
    const fails = customOp({
      name: 'fails',
      forward: (_, x) => mul(x, 1),
      backward: () => {
        throw new Error('on purpose')
      },
    })
    const x = normal(device, [3], key, { requiresGrad: true })
    const y = scope(() => add(mul(x, 3), fails(mul(x, 2))))
    try {
      backward(y, y)
    } finally {
      x.dispose()
      y.dispose()
    }
  },
  'grad() that fails after a gradient was found': device => {
    const fails = customOp({
      name: 'fails',
      forward: (_, x) => mul(x, 1),
      backward: () => {
        throw new Error('on purpose')
      },
    })
    const x = normal(device, [3], key, { requiresGrad: true })
    const late = fails(x)
    const y = scope(() => mul(add(late, 0), x))
    try {
      grad(y, [x, y], y)
    } finally {
      for (const t of [x, y, late]) t.dispose()
    }
  },
  'a model that throws while it samples': device => ddpmSample(device, failing(2), images, { schedule, key }),
  'a velocity that throws under fixed steps': device => withInput(device, x => odeSolve(failing(2), x, { steps: 3 })),
  'a velocity that throws under dopri5': device =>
    withInput(device, x => odeSolve(failing(3), x, { method: 'dopri5' })),
  'a velocity of another shape': device => withInput(device, x => odeSolve(() => device.ones([1]), x, { steps: 1 })),
  'a velocity that throws in a likelihood': device =>
    withInput(device, x => logLikelihood(failing(2), x, { key, method: 'euler', steps: 3 })),
  'values that are no integers': device => device.tensor([1.5], [1], { dtype: 'i32' }),
  'a gradient of integers': device => device.zeros([1], { dtype: 'i32', requiresGrad: true }),
}

async function withInput(device: Device, fn: (x: Tensor) => Promise<Tensor>): Promise<void> {
  const x = normal(device, images, key)
  try {
    await fn(x)
  } finally {
    x.dispose()
  }
}

/** Works, and throws when it is called for the n-th time. */
function failing(n: number): (x: Tensor) => Tensor {
  let calls = 0
  return x => {
    if (++calls === n) throw new Error('on purpose')
    return mul(x, 0.5)
  }
}

const DEVICES = testDevices().filter(({ name }) => ['reference f32', 'cpu baseline', 'cpu neon'].includes(name))

for (const { name, open, skipped } of DEVICES) {
  describe.skipIf(skipped)(`called bare on ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
    let device: Device
    beforeAll(async () => {
      device = await open()
    })
    afterAll(() => device.dispose())

    it.each(OPS.map(op => [op.name, op] as const))('%s leaves nothing', (_, op) => {
      const inputs = deviceInputs(device, op)
      const before = device.memory().liveTensors
      const out = op.composed ? scope(() => op.run(...inputs)) : op.run(...inputs)
      if (!op.flat) backward(out, out)
      out.dispose()
      for (const input of inputs) input.grad?.dispose()
      expect(device.memory().liveTensors).toBe(before)
      for (const input of inputs) input.dispose()
    })

    it.each(Object.entries(CALLS))('%s leaves nothing', async (_, call) => {
      const { liveTensors, liveBytes } = device.memory()
      const results = await call(device)
      for (const tensor of Array.isArray(results) ? results : results ? [results] : []) (tensor as Tensor).dispose()
      expect(device.memory().liveTensors).toBe(liveTensors)
      expect(device.memory().liveBytes).toBe(liveBytes)
    })

    it.each(Object.entries(FAILURES))('%s leaves nothing', async (_, call) => {
      const { liveTensors, liveBytes } = device.memory()
      await expect((async () => call(device))()).rejects.toThrow()
      expect(device.memory().liveTensors).toBe(liveTensors)
      expect(device.memory().liveBytes).toBe(liveBytes)
    })
  })
}
