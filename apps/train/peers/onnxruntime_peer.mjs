// onnxruntime on the CPU as a peer: runs graphs forward only. Their bytes are written here, with the few messages of
// onnx/onnx.proto3 that such graphs need.

import { Cannot, load, pseudoNormal, serve, versionOf } from './serve.mjs'

const { default: ort } = await load('onnxruntime-node')
const { default: protobuf } = await load('protobufjs')
const NAME = `onnxruntime ${versionOf('onnxruntime-node')}`

const { root } = protobuf.parse(`
  syntax = "proto3";
  message Attribute { string name = 1; float f = 2; int64 i = 3; int32 type = 20; }
  message Node { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5; string domain = 7; }
  message Dimension { int64 dim_value = 1; }
  message Shape { repeated Dimension dim = 1; }
  message TensorType { int32 elem_type = 1; Shape shape = 2; }
  message Type { TensorType tensor_type = 1; }
  message ValueInfo { string name = 1; Type type = 2; }
  message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
  message Graph { repeated Node node = 1; string name = 2; repeated Tensor initializer = 5; repeated ValueInfo input = 11; repeated ValueInfo output = 12; }
  message Opset { string domain = 1; int64 version = 2; }
  message Model { int64 ir_version = 1; repeated Opset opset_import = 8; Graph graph = 7; }
`)

const FLOAT = 1
const ATTRIBUTE_FLOAT = 1
const ATTRIBUTE_INT = 2

const attribute = (name, value) =>
  Number.isInteger(value) ? { name, i: value, type: ATTRIBUTE_INT } : { name, f: value, type: ATTRIBUTE_FLOAT }
const node = (opType, input, output, attributes = {}) => ({
  opType,
  input,
  output: [output],
  attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
})
const info = (name, shape) => ({
  name,
  type: { tensorType: { elemType: FLOAT, shape: { dim: shape.map(dimValue => ({ dimValue })) } } },
})

/** A session over a graph; `inputs` and `constants` are { name: shape }, filled with random numbers. */
async function runner(threads, nodes, inputs, output, constants = {}) {
  const random = (shape, seed) =>
    pseudoNormal(
      shape.reduce((a, b) => a * b, 1),
      seed,
    )
  const model = {
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'problem',
      node: nodes,
      input: Object.entries(inputs).map(([name, shape]) => info(name, shape)),
      output: [info(output[0], output[1])],
      initializer: Object.entries(constants).map(([name, shape], i) => ({
        name,
        dims: shape,
        dataType: FLOAT,
        rawData: new Uint8Array(random(shape, 100 + i).buffer),
      })),
    },
  }
  const type = root.lookupType('Model')
  const session = await ort.InferenceSession.create(type.encode(type.fromObject(model)).finish(), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  })
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, shape], i) => [name, new ort.Tensor('float32', random(shape, i + 1), shape)]),
  )
  const run = async () => {
    await session.run(feeds)
  }
  return { run, close: () => session.release() }
}

function gemm({ m, n, k }, threads) {
  // The weight is a constant of the graph, as in a model: onnxruntime packs it once.
  return runner(threads, [node('Gemm', ['x', 'weight'], 'y', { transB: 1 })], { x: [m, k] }, ['y', [m, n]], {
    weight: [n, k],
  })
}

function attention({ batch, heads, queries, keys, dim, backward, bias, lengths }, threads) {
  if (backward) throw new Cannot('onnxruntime’s npm package does not train')
  if (bias !== 'none' && bias !== 'dense') throw new Cannot('onnxruntime has no factored bias')
  const inputs = { q: [batch, heads, queries, dim], k: [batch, heads, dim, keys], v: [batch, heads, keys, dim] }
  if (bias === 'dense' || lengths) inputs.added = lengths ? [batch, 1, 1, keys] : [1, 1, queries, keys]
  const nodes = [
    node('Mul', ['q', 'scale'], 'scaled'),
    node('MatMul', ['scaled', 'k'], 'scores'),
    ...(inputs.added ? [node('Add', ['scores', 'added'], 'biased')] : []),
    node('Softmax', [inputs.added ? 'biased' : 'scores'], 'weights', { axis: -1 }),
    node('MatMul', ['weights', 'v'], 'out'),
  ]
  return runner(threads, nodes, inputs, ['out', [batch, heads, queries, dim]], { scale: [1] })
}

function step() {
  throw new Cannot('onnxruntime’s npm package does not train')
}

function op({ op, rows, columns, tape }, threads) {
  if (tape) throw new Cannot('onnxruntime’s npm package does not train')
  const nodes = {
    add: [node('Add', ['x', 'y'], 'out')],
    mul: [node('Mul', ['x', 'y'], 'out')],
    softmax: [node('Softmax', ['x'], 'out', { axis: -1 })],
  }[op]
  if (!nodes) throw new Cannot(`${op} is more than one op of onnxruntime`)
  const shape = [rows, columns]
  const inputs = op === 'softmax' ? { x: shape } : { x: shape, y: shape }
  return runner(threads, nodes, inputs, ['out', shape])
}

const CASES = { gemm, attention, step, op }

await serve(async (problem, threads) => ({ name: NAME, ...(await CASES[problem.kind](problem, threads)) }))
