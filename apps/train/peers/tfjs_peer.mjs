// TensorFlow.js on its WebAssembly backend as a peer. In Node this backend has SIMD and one thread.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { ADAM, batchOf, lossOf, parametersOf, refuseTooLarge } from './dit_model.mjs'
import { Cannot, load, pseudoNormal, serve, versionOf } from './serve.mjs'

const tf = await load('@tensorflow/tfjs')
const { setWasmPaths } = await load('@tensorflow/tfjs-backend-wasm')
const wasm = createRequire(join(process.argv[2], 'package.json')).resolve('@tensorflow/tfjs-backend-wasm')
setWasmPaths(`${dirname(wasm)}/`)
await tf.setBackend('wasm')
await tf.ready()
const NAME = `tfjs-wasm ${versionOf('@tensorflow/tfjs')} (1 thread: Node gets no more)`

/** Larger ones are not tried: the WebAssembly memory ends at 4 GB, and gradients hold several. */
const MOST_SCORES = 2 ** 27

const random = (shape, seed) =>
  tf.tensor(
    pseudoNormal(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  )

function gemm({ m, n, k }) {
  // Its kernel is several times faster on operands that are not transposed, which is how its layers store weights.
  const [x, weight] = [random([m, k], 1), random([k, n], 2)]
  return { run: () => tf.matMul(x, weight).dispose(), close: () => tf.dispose([x, weight]) }
}

function attention({ batch, heads, queries, keys, dim, backward, bias, lengths }) {
  if (batch * heads * queries * keys > MOST_SCORES)
    throw new Cannot('tfjs holds all scores at once: too large for its memory')
  if (bias !== 'none' && bias !== 'dense') throw new Cannot('tfjs has no factored bias')
  const tokens = (count, seed) => random([batch, heads, count, dim], seed)
  const operands = [tokens(queries, 1), tokens(keys, 2), tokens(keys, 3)]
  if (bias === 'dense') operands.push(random([1, 1, queries, keys], 4))
  const mask =
    lengths &&
    tf.tensor(
      lengths.flatMap(length => Array.from({ length: keys }, (_, j) => (j < length ? 0 : -1e9))),
      [batch, 1, 1, keys],
    )
  const forward = (q, k, v, added = mask) => {
    const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(dim))
    return tf.matMul(tf.softmax(added ? tf.add(scores, added) : scores), v)
  }
  const gradients = tf.grads(forward)
  const upstream = backward && tokens(queries, 5)
  return {
    run: () => tf.tidy(() => void (backward ? gradients(operands, upstream) : forward(...operands))),
    close: () => tf.dispose([operands, mask, upstream]),
  }
}

function step(problem) {
  if (problem.dtype !== 'f32') throw new Cannot('tfjs computes in f32')
  refuseTooLarge(problem)
  const p = Object.fromEntries(
    parametersOf(problem).map(({ name, shape, data }) => [name, tf.tidy(() => tf.variable(tf.tensor(data, shape)))]),
  )
  const parameters = Object.values(p)
  const inputs = Object.fromEntries(
    Object.entries(batchOf(problem)).map(([name, { data, shape }]) => [name, tf.tensor(data, shape)]),
  )
  const optimizer = tf.train.adam(ADAM.lr, ADAM.beta1, ADAM.beta2, ADAM.eps)
  const ops = {
    add: tf.add,
    sub: tf.sub,
    mul: tf.mul,
    matmul: (a, b, transposeB) => tf.matMul(a, b, false, transposeB),
    reshape: tf.reshape,
    transpose: tf.transpose,
    slice: (x, i) => tf.reshape(tf.slice(x, [i], [1]), x.shape.slice(1)),
    softmax: x => tf.softmax(x),
    mean: x => tf.mean(x, -1, true),
    meanOfAll: x => tf.mean(x),
    rsqrt: tf.rsqrt,
    tanh: tf.tanh,
    sigmoid: tf.sigmoid,
  }
  const run = () => {
    const loss = tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => lossOf(ops, problem, p, inputs), parameters)
      const squares = Object.values(grads).map(gradient => tf.sum(tf.square(gradient)))
      const factor = tf.minimum(1, tf.div(ADAM.maxNorm, tf.add(tf.sqrt(tf.addN(squares)), 1e-6)))
      const clipped = Object.fromEntries(
        Object.entries(grads).map(([name, gradient]) => [name, tf.mul(gradient, factor)]),
      )
      optimizer.applyGradients(clipped)
      // tf.train has no decoupled weight decay: AdamW's is one more pass.
      for (const variable of parameters) variable.assign(tf.mul(variable, 1 - ADAM.lr * ADAM.decay))
      return value
    })
    loss.dataSync()
    loss.dispose()
  }
  const close = () => {
    tf.dispose([parameters, inputs])
    optimizer.dispose()
  }
  return { run, close }
}

function op({ op, rows, columns, tape }) {
  if (tape) throw new Cannot('tfjs records no tape outside of grad()')
  const named = { add: tf.add, mul: tf.mul, softmax: x => tf.softmax(x), sum: x => tf.sum(x) }[op]
  if (!named) throw new Cannot(`tfjs has no ${op}`)
  const [x, y] = [random([rows, columns], 1), random([rows, columns], 2)]
  return { run: () => tf.tidy(() => void named(x, y)), close: () => tf.dispose([x, y]) }
}

const CASES = { gemm, attention, step, op }

await serve(problem => ({ name: NAME, ...CASES[problem.kind](problem) }))
