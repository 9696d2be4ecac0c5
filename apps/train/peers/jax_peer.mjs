// jax-js on its WebAssembly backend as a peer, everything under jit. It spreads work over Web Workers, which Node is given here, so
// that it may use as many threads as the others.

import { ADAM, batchOf, lossOf, parametersOf, refuseTooLarge } from './dit_model.mjs'
import { Cannot, load, pseudoNormal, serve, versionOf } from './serve.mjs'
import { provideWebWorkers } from './web_worker.mjs'

provideWebWorkers(Number(process.argv[3]))
const { blockUntilReady, defaultDevice, init, jit, nn, numpy: np, tree, valueAndGrad, vjp } = await load('@jax-js/jax')
await init('wasm')
defaultDevice('wasm')
const NAME = `jax-js wasm ${versionOf('@jax-js/jax')}`

/** Larger ones are not tried: the WebAssembly memory ends at 4 GB, and gradients hold several. */
const MOST_SCORES = 2 ** 27

const array = ({ data, shape }) => np.array(data, { shape })
const random = (shape, seed) =>
  array({
    data: pseudoNormal(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  })

// Operations consume their operands: `use` keeps them, here where everything runs under jit, which frees by itself.
const use = x => (typeof x === 'number' ? x : x.ref)
const swapLast = x => np.swapaxes(x, -1, -2)
const ops = {
  add: (a, b) => np.add(use(a), use(b)),
  sub: (a, b) => np.subtract(use(a), use(b)),
  mul: (a, b) => np.multiply(use(a), use(b)),
  matmul: (a, b, transposeB) => np.matmul(use(a), transposeB ? swapLast(use(b)) : use(b)),
  reshape: (x, shape) => np.reshape(use(x), shape),
  transpose: (x, axes) => np.transpose(use(x), axes),
  slice: (x, i) => use(x).slice(i),
  softmax: x => nn.softmax(use(x), -1),
  mean: x => np.mean(use(x), -1, { keepdims: true }),
  meanOfAll: x => np.mean(use(x)),
  rsqrt: x => np.reciprocal(np.sqrt(use(x))),
  tanh: x => np.tanh(use(x)),
  sigmoid: x => nn.sigmoid(use(x)),
}

/** Runs a compiled function on operands that it must not consume, to its end. */
function runner(compiled, ...operands) {
  const run = async () => {
    const result = compiled(...operands.map(operand => tree.ref(operand)))
    await blockUntilReady(result)
    tree.dispose(result)
  }
  const close = () => {
    tree.dispose(operands)
    compiled.dispose?.()
  }
  return { run, close }
}

function gemm({ m, n, k }) {
  return runner(
    jit((x, weight) => np.matmul(x, np.transpose(weight))),
    random([m, k], 1),
    random([n, k], 2),
  )
}

function attention({ batch, heads, queries, keys, dim, backward, bias, lengths }) {
  if (batch * heads * queries * keys > MOST_SCORES)
    throw new Cannot('jax-js holds all scores at once: too large for its memory')
  if (bias !== 'none' && bias !== 'dense') throw new Cannot('jax-js has no factored bias')
  const tokens = (count, seed) => random([batch, heads, count, dim], seed)
  const added =
    bias === 'dense'
      ? random([1, 1, queries, keys], 4)
      : array({
          data: Float32Array.from({ length: batch * keys }, (_, i) =>
            !lengths || i % keys < lengths[Math.floor(i / keys)] ? 0 : -1e9,
          ),
          shape: [batch, 1, 1, keys],
        })
  const forward = (q, k, v, b) => {
    const scores = ops.add(ops.mul(ops.matmul(q, k, true), 1 / Math.sqrt(dim)), b)
    return ops.matmul(ops.softmax(scores), v, false)
  }
  const operands = [tokens(queries, 1), tokens(keys, 2), tokens(keys, 3), added]
  if (!backward) return runner(jit(forward), ...operands)
  const gradients = jit((q, k, v, b, upstream) => {
    const [out, pullback] =
      bias === 'dense' ? vjp(forward, [q, k, v, b]) : vjp((q, k, v) => forward(q, k, v, b), [q, k, v])
    return [out, ...pullback(upstream)]
  })
  return runner(gradients, ...operands, tokens(queries, 5))
}

function step(problem) {
  if (problem.dtype !== 'f32') throw new Cannot('jax-js has no bf16')
  refuseTooLarge(problem)
  const parameters = parametersOf(problem)
  const named = make => Object.fromEntries(parameters.map(parameter => [parameter.name, make(parameter)]))
  const inputs = Object.fromEntries(Object.entries(batchOf(problem)).map(([name, value]) => [name, array(value)]))
  const { add, mul, sub } = ops
  const update = jit((p, m, v, corrections, batch) => {
    const [loss, gradients] = valueAndGrad(weights => lossOf(ops, problem, weights, batch))(p)
    const names = Object.keys(gradients)
    const square = names.map(name => np.sum(mul(gradients[name], gradients[name]))).reduce(add)
    const factor = np.minimum(1, np.divide(ADAM.maxNorm, add(np.sqrt(square), 1e-6)))
    const next = { p: {}, m: {}, v: {} }
    for (const name of names) {
      const gradient = mul(gradients[name], factor)
      next.m[name] = add(mul(m[name], ADAM.beta1), mul(gradient, 1 - ADAM.beta1))
      next.v[name] = add(mul(v[name], ADAM.beta2), mul(mul(gradient, gradient), 1 - ADAM.beta2))
      const size = np.sqrt(mul(next.v[name], use(corrections).slice(1)))
      const change = np.divide(mul(next.m[name], use(corrections).slice(0)), add(size, ADAM.eps))
      next.p[name] = sub(mul(p[name], 1 - ADAM.lr * ADAM.decay), mul(change, ADAM.lr))
    }
    return { loss, ...next }
  })
  let state = {
    p: named(array),
    m: named(({ shape }) => np.zeros(shape)),
    v: named(({ shape }) => np.zeros(shape)),
  }
  let count = 0
  const run = async () => {
    count++
    const corrections = np.array([1 / (1 - ADAM.beta1 ** count), 1 / (1 - ADAM.beta2 ** count)])
    const { loss, ...next } = update(state.p, state.m, state.v, corrections, tree.ref(inputs))
    state = next
    await blockUntilReady(state)
    await loss.data()
  }
  const close = () => {
    tree.dispose([state, inputs])
    update.dispose()
  }
  return { run, close }
}

function op({ op, rows, columns, tape }) {
  if (tape) throw new Cannot('jax-js records no tape outside of grad()')
  const named = {
    add: ops.add,
    mul: ops.mul,
    gelu: x => nn.gelu(use(x)),
    softmax: ops.softmax,
    sum: x => np.sum(use(x)),
  }[op]
  if (!named) throw new Cannot(`jax-js has no ${op}`)
  return runner(named, random([rows, columns], 1), random([rows, columns], 2))
}

const CASES = { gemm, attention, step, op }

await serve(problem => ({ name: NAME, ...CASES[problem.kind](problem) }))
