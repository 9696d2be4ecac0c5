// An interpreter for Python's pickle format (protocols 2 to 5) that builds data only: it never imports, calls or
// constructs what the file names. Classes and persistent ids go to a host, which decides what they become.
import { PickleBytes, type PickleLimits } from './pickle-bytes'
import { COST, type PickleHost, PickleMachine } from './pickle-machine'
import { describe, type PtValue } from './values'

const PROTO = 0x80
const STOP = 0x2e

/**
 * Reads one pickle.
 * @throws CheckpointError for unknown or unsupported opcodes, a malformed or truncated stream, and more objects than
 * `limits` allow.
 */
export function readPickle(data: Uint8Array, host: PickleHost, limits: PickleLimits, file?: string): PtValue {
  const bytes: PickleBytes = new PickleBytes(data, limits, file)
  const machine = new PickleMachine(bytes, host)
  if (data[0] !== PROTO) bytes.fail('does not start with a protocol 2 to 5 header')
  for (;;) {
    const opcode = bytes.u8()
    if (opcode === STOP) return machine.pop()
    const operation = OPERATIONS.get(opcode)
    if (!operation) bytes.fail(`has opcode 0x${opcode.toString(16)}, which no torch.save of protocol 2 to 5 writes`)
    operation(machine, bytes)
  }
}

type Operation = (m: PickleMachine, b: PickleBytes) => void

/** By opcode; the comments are their names in Python's pickletools. */
const OPERATIONS: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [PROTO, (_, b) => protocol(b)],
  [0x95, (_, b) => void b.length64()], // FRAME: only a hint for buffering
  [0x28, m => m.mark()], // MARK
  [0x30, m => m.drop()], // POP
  [0x31, m => void m.popMark()], // POP_MARK
  [0x32, m => m.push(m.top())], // DUP

  [0x4e, m => m.push(null)], // NONE
  [0x88, m => m.push(true)], // NEWTRUE
  [0x89, m => m.push(false)], // NEWFALSE
  [0x4a, (m, b) => m.push(b.view.getInt32(b.take(4), true))], // BININT
  [0x4b, (m, b) => m.push(b.u8())], // BININT1
  [0x4d, (m, b) => m.push(b.view.getUint16(b.take(2), true))], // BININT2
  [0x8a, (m, b) => m.push(b.integer(b.u8()))], // LONG1
  [0x8b, (m, b) => m.push(b.integer(b.length32()))], // LONG4
  [0x47, (m, b) => m.push(b.view.getFloat64(b.take(8), false))], // BINFLOAT

  [0x58, (m, b) => m.push(b.text(b.length32()))], // BINUNICODE
  [0x54, (m, b) => m.push(b.text(b.length32()))], // BINSTRING: Python 2's str
  [0x8c, (m, b) => m.push(b.text(b.u8()))], // SHORT_BINUNICODE
  [0x55, (m, b) => m.push(b.text(b.u8()))], // SHORT_BINSTRING
  [0x8d, (m, b) => m.push(b.text(b.length64()))], // BINUNICODE8
  [0x42, (m, b) => m.push(b.blob(b.length32()))], // BINBYTES
  [0x43, (m, b) => m.push(b.blob(b.u8()))], // SHORT_BINBYTES
  [0x8e, (m, b) => m.push(b.blob(b.length64()))], // BINBYTES8
  [0x96, (m, b) => m.push(b.blob(b.length64()))], // BYTEARRAY8

  [0x29, m => m.pushTuple([])], // EMPTY_TUPLE
  [0x85, m => m.pushTuple(m.popMany(1))], // TUPLE1
  [0x86, m => m.pushTuple(m.popMany(2))], // TUPLE2
  [0x87, m => m.pushTuple(m.popMany(3))], // TUPLE3
  [0x74, m => m.pushTuple(m.popMark())], // TUPLE
  [0x5d, m => m.pushNew([], COST.list)], // EMPTY_LIST
  [0x6c, m => m.pushNew(m.popMark(), COST.list)], // LIST
  [0x61, m => m.append(m.popMany(1))], // APPEND
  [0x65, m => m.append(m.popMark())], // APPENDS
  [0x7d, m => m.pushNew(new Map(), COST.map)], // EMPTY_DICT
  [0x64, m => dict(m)], // DICT
  [0x73, m => m.setItems(m.popMany(2))], // SETITEM
  [0x75, m => m.setItems(m.popMark())], // SETITEMS
  [0x8f, m => m.pushNew(new Set(), COST.map)], // EMPTY_SET
  [0x90, m => m.addItems(m.popMark())], // ADDITEMS
  [0x91, m => frozenSet(m)], // FROZENSET

  [0x71, (m, b) => m.remember(b.u8())], // BINPUT
  [0x72, (m, b) => m.remember(b.length32())], // LONG_BINPUT
  [0x94, m => m.remember(m.memoSize())], // MEMOIZE
  [0x68, (m, b) => m.recall(b.u8())], // BINGET
  [0x6a, (m, b) => m.recall(b.length32())], // LONG_BINGET

  [0x63, (m, b) => m.pushClass(b.line(), b.line())], // GLOBAL
  [0x93, (m, b) => stackGlobal(m, b)], // STACK_GLOBAL
  [0x52, m => m.construct(m.popMany(2))], // REDUCE
  [0x81, m => m.construct(m.popMany(2))], // NEWOBJ
  [0x92, m => m.construct(m.popMany(3))], // NEWOBJ_EX
  [0x62, m => m.build(m.pop())], // BUILD
  [0x51, m => m.pushNew(m.host.persistent(m.pop()), COST.object)], // BINPERSID
])

function protocol(b: PickleBytes): void {
  const version = b.u8()
  if (version < 2 || version > 5) b.fail(`has protocol ${version}, expected 2 to 5`)
}

function dict(m: PickleMachine): void {
  const items = m.popMark()
  m.pushNew(new Map(), COST.map)
  m.setItems(items)
}

function frozenSet(m: PickleMachine): void {
  const items = m.popMark()
  m.pushNew(new Set(), COST.map)
  m.addItems(items)
}

function stackGlobal(m: PickleMachine, b: PickleBytes): void {
  const [module, name] = m.popMany(2)
  if (typeof module !== 'string' || typeof name !== 'string')
    b.fail(`names a class by ${describe(module)} and ${describe(name)}, expected strings`)
  m.pushClass(module, name)
}
