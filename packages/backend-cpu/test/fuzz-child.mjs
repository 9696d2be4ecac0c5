// Calls the raw addon with garbage: `node fuzz-child.mjs ADDON SEED CALLS`. Surviving is the test; prints how many calls were
// accepted and refused, so that the test sees that both kinds happen.
import { createRequire } from 'node:module'

const [, , addonPath, seed, calls] = process.argv
const addon = createRequire(import.meta.url)(addonPath)

let state = Number(seed) >>> 0
function random() {
  state = (state + 0x6d2b79f5) >>> 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
const below = n => Math.floor(random() * n)
const pick = list => list[below(list.length)]

const counts = { accepted: 0, refused: 0, completed: 0, faults: 0 }
const complete = (_id, _buffer, fault) => {
  counts.completed++
  if (fault) counts.faults++
}
const devices = [
  addon.createDevice(2, 'baseline', 2 ** 28, complete),
  addon.createDevice(1, pick(addon.describe()), 2 ** 26, complete),
]
const live = devices.map(() => [])
const small = []
const freed = []
const programs = devices.map(() => [])

function detached() {
  const array = new Uint8Array(64)
  structuredClone(array.buffer, { transfer: [array.buffer] })
  return array
}
const garbage = () =>
  pick([
    () => undefined,
    () => null,
    () => 'text',
    () => Symbol('s'),
    () => 10n,
    () => ({}),
    () => [],
    () => () => {},
    () => true,
    () => Number.NaN,
    () => Number.POSITIVE_INFINITY,
    () => -1,
    () => 0.5,
    () => 2 ** 53,
    () => 1e300,
    () => -(2 ** 31),
    () => below(1000),
    () => pick(live[0]) ?? 0,
    () => pick(freed) ?? 0,
    () => new Uint8Array(below(64)),
    () => new Float64Array(below(64)).map(() => below(9)),
    () => new Float32Array(4),
    () => new DataView(new ArrayBuffer(8)),
    detached,
  ])()

const SIZES = [0, 1, 1, 2, 3, 4, 5, 8, 16, 17, 21]
const STORAGE = 1 << 18
const DTYPES = { f32: 0, i32: 1, bool: 2 }

/** An operand over a storage of its own size, row-major, or with one number wrong. */
function operand(which, shape, dtype = 0) {
  const count = shape.reduce((a, b) => a * b, 1)
  const handle = pick(live[which]) ?? 0
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  return [handle, 4 * below(Math.max(1, STORAGE / 4 - count)), dtype, shape.length, ...shape, ...strides]
}
const shapeOf = rank => Array.from({ length: rank }, () => pick(SIZES))
const optional = (chance, make) => (random() < chance ? [1, ...make()] : [0])

const templates = [
  w => {
    const shape = shapeOf(below(5))
    return [0, ...operand(w, shape, below(3)), ...operand(w, shape, below(3))]
  },
  w => [1, ...operand(w, shapeOf(below(5)), below(3)), random() * 10],
  w => [2, ...operand(w, shapeOf(below(3)), below(2)), 1, 2],
  w => {
    const kind = below(3)
    return [3, kind, ...operand(w, shapeOf(2), kind === 2 ? 1 : 0), ...operand(w, [2], DTYPES.i32)]
  },
  w => {
    const entry = pick(programs[w])
    if (!entry) return [4, 0, 0]
    const shape = shapeOf(1 + below(3))
    const broadcast = () => shape.map(n => (random() < 0.3 ? 1 : n))
    return [
      ...[4, entry.id, shape.length, ...shape],
      ...Array.from({ length: entry.inputs }, () => operand(w, broadcast(), below(3))).flat(),
      ...Array.from({ length: entry.scalars }, () => random() * 4 - 2),
      ...Array.from({ length: entry.outputs }, () =>
        operand(w, random() < 0.2 ? [...shape.slice(0, -1), 1] : shape, below(3)),
      ).flat(),
    ]
  },
  w => {
    const shape = shapeOf(below(5))
    const to = shape.map(n => (random() < 0.5 ? 1 : n))
    return [5, below(3), ...operand(w, shape, below(3)), ...operand(w, to, below(2)), below(2)]
  },
  w => {
    const shape = shapeOf(1 + below(3))
    return [6, ...operand(w, shape, below(3)), ...operand(w, [...shape.slice(0, -1), 1], DTYPES.i32)]
  },
  w => {
    const [m, k, n] = shapeOf(3)
    const batch = shapeOf(below(3))
    const out = [...batch, m, n]
    return [
      ...[7, ...operand(w, [...batch, m, k]), ...operand(w, random() < 0.5 ? [k, n] : [...batch, k, n])],
      ...[...operand(w, out), ...optional(0.5, () => operand(w, [n])), below(4)],
      ...optional(0.3, () => operand(w, out)),
      ...optional(0.3, () => operand(w, out)),
      ...optional(0.3, () => operand(w, random() < 0.5 ? out : [...batch.map(() => 1), 1, n])),
      ...optional(0.3, () => operand(w, out)),
      ...[random(), below(2), below(2)],
    ]
  },
  w => {
    const [v, n, c] = shapeOf(3)
    const dtype = below(3)
    return [8, ...operand(w, [v, c], dtype), ...operand(w, [n], 1), ...operand(w, [n, c], dtype), below(100)]
  },
  w => {
    const [v, n, c] = shapeOf(3)
    return [9, ...operand(w, [v, c]), ...operand(w, [n], 1), ...operand(w, [n, c]), below(100)]
  },
  w => [10, ...operand(w, shapeOf(2), DTYPES.bool), below(100)],
  w => {
    const [b, n, c] = shapeOf(3)
    const row = () => operand(w, pick([[b, 1, c], [1, 1, c], [b, n, c], [c]]))
    return [
      ...[11, ...operand(w, [b, n, c]), ...optional(0.7, row), ...optional(0.7, row), 1e-6],
      ...[...operand(w, [b, n, c]), ...operand(w, [b, n, 1]), ...operand(w, [b, n, 1])],
    ]
  },
  w => {
    const [b, n, c] = shapeOf(3)
    const x = () => operand(w, [b, n, c])
    const one = () => operand(w, [b, n, 1])
    const row = () => operand(w, [b, 1, c])
    return [
      12,
      ...x(),
      ...optional(0.7, row),
      ...one(),
      ...one(),
      ...x(),
      ...optional(0.8, x),
      ...optional(0.8, row),
      ...optional(0.8, row),
      ...optional(0.5, x),
      below(2),
    ]
  },
  w => {
    const [b, n, c] = shapeOf(3)
    const x = () => operand(w, [b, n, c])
    const row = () => operand(w, [b, 1, c])
    return [
      13,
      ...x(),
      ...row(),
      ...x(),
      ...optional(0.8, x),
      ...optional(0.8, row),
      ...optional(0.8, () => operand(w, [c])),
      below(2),
    ]
  },
  w => {
    const span = () => [pick(live[w]) ?? 0, 4 * below(64)]
    const one = () => [below(600), ...span(), ...span(), ...span(), ...span(), ...optional(0.5, span), 1, 1]
    const count = below(4)
    return [14, ...operand(w, [8]), 1, ...operand(w, [2]), count, ...Array.from({ length: count }, one).flat()]
  },
  w => attention(w, 15, 0.7),
  w => attention(w, 16, 0.95),
  w => {
    const [b, p, count] = shapeOf(3)
    const cloud = [...operand(w, [b, p, 3]), ...operand(w, [b, p], DTYPES.bool)]
    return [17, ...cloud, ...operand(w, [b, count], DTYPES.i32), ...operand(w, [b, count], DTYPES.bool)]
  },
  w => {
    const [b, q, p] = shapeOf(3)
    const result = dtype => operand(w, [b, q, count], dtype)
    const count = pick(SIZES)
    return [
      ...[18, ...operand(w, [b, q, 3]), ...operand(w, [b, p, 3])],
      ...[...operand(w, [b, q], DTYPES.bool), ...operand(w, [b, p], DTYPES.bool), pick([1, 0.1, 1e30])],
      ...[...result(DTYPES.i32), ...result(DTYPES.f32), ...result(DTYPES.bool)],
    ]
  },
]

function attention(w, opcode, chance) {
  const [b, lq, lk] = shapeOf(3)
  const [h, d, dv] = [1 + below(3), 1 + below(9), 1 + below(9)]
  const q = () => operand(w, [b, lq, h, d])
  const k = () => operand(w, [b, lk, h, d])
  const v = () => operand(w, [b, lk, h, dv])
  const out = () => operand(w, [b, lq, h, dv])
  const stats = () => operand(w, [b, h, lq, 2])
  const numbers = [opcode, ...q(), ...k(), ...v(), 0.5, below(3), random() < 0.5 ? 0 : below(65536), below(2)]
  const packed = b === 1 && random() < 0.5
  const bias = random() < 0.5 ? [pick([1, b]), pick([1, h]), pick([1, lq]), pick([1, lk])] : undefined
  const rank = random() < 0.4 ? 1 + below(5) : 0
  numbers.push(...optional(0.3, () => operand(w, [b, lk], 2)), ...optional(0.3, () => operand(w, [b, lq], 2)))
  numbers.push(
    ...optional(packed ? 0 : 0.3, () => operand(w, [b], 1)),
    ...optional(packed ? 0 : 0.3, () => operand(w, [b], 1)),
  )
  numbers.push(...(packed ? [1, ...operand(w, [4], 1), 1, ...operand(w, [4], 1)] : [0, 0]))
  numbers.push(...optional(0.3, () => operand(w, [pick([1, b]), pick([1, h]), pick([1, lq]), pick([1, lk])], 2)))
  numbers.push(...(bias ? [1, ...operand(w, bias)] : [0]))
  const factors = [
    [pick([1, b]), lq, pick([1, h]), rank],
    [pick([1, b]), lk, pick([1, h]), rank],
  ]
  numbers.push(...(rank ? [1, ...operand(w, factors[0]), 1, ...operand(w, factors[1])] : [0, 0]))
  numbers.push(1, ...operand(w, [2], 1), ...out(), ...optional(chance, stats))
  if (opcode === 15) return numbers
  numbers.push(...out(), ...optional(0.8, q), ...optional(0.8, k), ...optional(0.8, v))
  numbers.push(...(bias ? optional(0.8, () => operand(w, bias)) : [0]))
  return [
    ...numbers,
    ...(rank
      ? [...optional(0.8, () => operand(w, factors[0])), ...optional(0.8, () => operand(w, factors[1]))]
      : [0, 0]),
  ]
}

const WRONG = [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 31, 2 ** 53, -(2 ** 40), 1e300, 7, 65, 4097]

function command(w) {
  const numbers = pick(templates)(w)
  // Half of the commands stay as they are, so that kernels run too; the others get wrong numbers or lengths.
  if (random() < 0.5) {
    for (let i = below(3); i >= 0; i--)
      numbers[below(numbers.length)] = random() < 0.3 ? (pick(pick([freed, small])) ?? 3) : pick(WRONG)
  }
  if (random() < 0.05) numbers.length = below(numbers.length)
  return numbers
}

function program(w) {
  const [inputs, scalars, instructions, outputs] = [below(5), below(3), below(12), 1 + below(3)]
  const code = Array.from({ length: instructions }, (_, i) => {
    const op = below(36)
    const arity = op <= 19 ? 1 : op <= 32 ? 2 : 3
    return [op, ...Array.from({ length: arity }, () => below(inputs + scalars + i + (random() < 0.02 ? 2 : 0)))]
  })
  const last = Array.from({ length: outputs }, () => below(inputs + scalars + instructions + (random() < 0.02 ? 2 : 0)))
  const id = devices[w].program(Float64Array.from([inputs, scalars, instructions, outputs, ...code.flat(), ...last]))
  programs[w].push({ id, inputs, scalars, outputs })
}

const actions = [
  [
    60,
    w => {
      const numbers = command(w)
      devices[w].commands.set(numbers)
      devices[w].submit(numbers.length)
    },
  ],
  [6, w => devices[w].submit(below(80))],
  [
    4,
    w => {
      const size = pick([0, 1, 64, 4096, STORAGE, STORAGE, STORAGE, 2 ** 40])
      const handle = devices[w].alloc(size)
      if (size === STORAGE) live[w].push(handle)
      else small.push(handle)
    },
  ],
  [
    3,
    w => {
      if (live[w].length < 6) return
      const [handle] = live[w].splice(below(live[w].length), 1)
      freed.push(handle)
      devices[w].free(handle)
    },
  ],
  [4, w => devices[w].write(pick(live[w]) ?? 0, below(64), new Uint8Array(below(5000)).fill(below(256)))],
  [2, w => devices[w].read(pick(live[w]) ?? 0, below(64), below(5000), below(1000))],
  [1, w => devices[w].sync(below(1000))],
  [3, program],
  [1, w => devices[w].trim()],
  [
    15,
    w =>
      devices[w][pick(['submit', 'alloc', 'free', 'write', 'read', 'sync', 'program'])](
        ...Array.from({ length: below(6) }, garbage),
      ),
  ],
  [1, () => addon.createDevice(...Array.from({ length: below(6) }, garbage))],
  [1, () => addon.bf16Instruction(...Array.from({ length: below(3) }, garbage))],
  // Functions taken off their device, and called as constructors.
  [1, w => devices[w].submit.call(garbage(), garbage())],
  [1, w => new devices[w].read(garbage(), garbage())],
]
const deck = actions.flatMap(([weight, action]) => Array(weight).fill(action))

for (const w of [0, 1]) for (let i = 0; i < 8; i++) live[w].push(devices[w].alloc(STORAGE))
for (let i = 0; i < Number(calls); i++) {
  const action = pick(deck)
  try {
    action(below(2))
    counts.accepted++
  } catch (error) {
    if (!(error instanceof Error)) throw error
    counts.refused++
  }
  if (i % 500 === 499) await new Promise(resolve => setImmediate(resolve))
}
// The command buffer given away: calls go on over memory that JavaScript can no longer reach, or still holds elsewhere.
const { buffer } = devices[0].commands
for (const take of [() => structuredClone(buffer, { transfer: [buffer] }), () => buffer.transfer()]) {
  try {
    take()
  } catch {
    // Some versions of Node refuse, or have no transfer().
  }
}
for (let i = 0; i < 200; i++) {
  try {
    devices[0].commands.set(command(0).slice(0, devices[0].commands.length))
    devices[0].submit(1 + below(80))
  } catch {
    counts.refused++
  }
}
devices[1].dispose()
for (const name of ['submit', 'alloc', 'free', 'write', 'read', 'sync', 'program', 'memory', 'trim', 'dispose']) {
  try {
    devices[1][name](1, 2, new Uint8Array(3), 4)
    throw new Error('a disposed device took a call')
  } catch (error) {
    if (!/disposed|must be/.test(error.message) || /took a call/.test(error.message)) throw error
  }
}
console.log(JSON.stringify(counts))
