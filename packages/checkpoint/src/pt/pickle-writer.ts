// Encodes plain values and tensors as the pickle (protocol 2) that torch.load(..., weights_only=True) accepts.
import { dtypeInfo } from '../dtype'
import { CheckpointError, quote } from '../errors'
import { checkTensorSource, elementCount, isLazy, type TensorSource } from '../tensor-record'

/**
 * What the .pt writers take: null becomes None, whole numbers and bigints int, other numbers float, arrays list, plain
 * objects and Maps dict, Sets set; tensors are `{ shape, dtype, data }` or `{ shape, dtype, read() }`.
 */
export type PtInput =
  | null
  | boolean
  | number
  | bigint
  | string
  | TensorSource
  | readonly PtInput[]
  | ReadonlyMap<string | number | bigint | boolean, PtInput>
  | ReadonlySet<string | number | bigint | boolean>
  | { readonly [key: string]: PtInput }

/** A tree encoded: the pickle, and what goes into the records data/0, data/1, ... */
export interface EncodedTree {
  readonly pickle: Uint8Array
  readonly storages: readonly PtStorageInput[]
}

export interface PtStorageInput {
  readonly tensor: TensorSource
  readonly bytes: number
  /** Place of the tensor in the tree, for error messages. */
  readonly path: string
}

// Python's own unpickler is not recursive, but those who walk the result are.
const MAX_DEPTH = 500
const MAX_PICKLE_BYTES = 2 ** 28

/**
 * Encodes a tree. Two tensors over the same data array share one storage, as they would in PyTorch.
 * @throws CheckpointError naming the place in the tree for what cannot be written: cycles, functions, class instances,
 * undefined, bare typed arrays, tensors whose data does not fit their shape.
 */
export function encodeTree(value: PtInput): EncodedTree {
  const encoder = new Encoder()
  encoder.value(value, '')
  return encoder.finish()
}

class Encoder {
  private out = new Uint8Array(4096)
  private length = 0
  private readonly storages: PtStorageInput[] = []
  private readonly keys = new Map<object, number>()
  private readonly open = new Set<object>()

  constructor() {
    this.bytes(0x80, 2)
  }

  finish(): EncodedTree {
    this.bytes(0x2e)
    return { pickle: this.out.slice(0, this.length), storages: this.storages }
  }

  value(value: PtInput, path: string): void {
    if (value === null)
      this.bytes(0x4e) // NONE
    else if (typeof value === 'boolean')
      this.bytes(value ? 0x88 : 0x89) // NEWTRUE, NEWFALSE
    else if (typeof value === 'bigint') this.integer(value, path)
    else if (typeof value === 'number') this.number(value, path)
    else if (typeof value === 'string') this.text(value, path)
    else if (typeof value === 'object') this.object(value, path)
    else this.refuse(path, `is ${typeof value}: write null, or leave it out`)
  }

  // A whole number is an int in Python; -0 would lose its sign there.
  private number(value: number, path: string): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.integer(BigInt(value), path)
    else this.float(value)
  }

  private object(value: Exclude<PtInput, null | boolean | number | bigint | string>, path: string): void {
    if (isTensor(value)) {
      this.tensor(value, path)
      return
    }
    if (this.open.has(value)) this.refuse(path, 'contains itself: a .pt file is written as a tree')
    if (this.open.size === MAX_DEPTH) this.refuse(path, `is nested more than ${MAX_DEPTH} deep: flatten it`)
    this.open.add(value)
    if (Array.isArray(value)) {
      this.bytes(0x5d, 0x28) // EMPTY_LIST MARK ... APPENDS
      for (const [i, item] of value.entries()) this.value(item as PtInput, `${path}[${i}]`)
      this.bytes(0x65)
    } else if (value instanceof Set) {
      this.global('__builtin__', 'set')
      this.bytes(0x5d, 0x28)
      for (const item of value) this.value(item as PtInput, `${path}{}`)
      this.bytes(0x65, 0x85, 0x52) // APPENDS TUPLE1 REDUCE
    } else {
      this.bytes(0x7d, 0x28) // EMPTY_DICT MARK ... SETITEMS
      for (const [key, item] of value instanceof Map ? value : this.plainEntries(value, path)) {
        this.value(key as PtInput, `key of ${path || 'the root'}`)
        this.value(item as PtInput, path === '' ? String(key) : `${path}.${String(key)}`)
      }
      this.bytes(0x75)
    }
    this.open.delete(value)
  }

  private plainEntries(value: object, path: string): [string, unknown][] {
    const prototype = Object.getPrototypeOf(value)
    if (prototype === null || Object.getPrototypeOf(prototype) === null) return Object.entries(value)
    const what = `is a ${prototype.constructor?.name ?? 'class instance'}`
    if (ArrayBuffer.isView(value)) this.refuse(path, `${what}: write { shape, dtype, data } for a tensor`)
    return this.refuse(path, `${what}: write its fields as a plain object`)
  }

  // _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks); _v3 with the dtype for those without a
  // typed storage.
  private tensor(tensor: TensorSource, path: string): void {
    const bytes = checkTensorSource(tensor, { tensor: path })
    const { storage, torch, bytes: size } = dtypeInfo(tensor.dtype)
    this.global('torch._utils', storage ? '_rebuild_tensor_v2' : '_rebuild_tensor_v3')
    this.bytes(0x28, 0x28) // MARK MARK
    this.text('storage', path)
    if (storage) this.global('torch', storage)
    else this.global('torch.storage', 'UntypedStorage')
    this.text(String(this.storageKey(tensor, bytes, path)), path)
    this.text('cpu', path)
    this.integer(BigInt(storage ? bytes / size : bytes))
    this.bytes(0x74, 0x51) // TUPLE BINPERSID
    this.integer(0n)
    this.integers(tensor.shape)
    this.integers(rowMajorStrides(tensor.shape))
    this.bytes(0x89) // NEWFALSE
    this.global('collections', 'OrderedDict')
    this.bytes(0x29, 0x52) // EMPTY_TUPLE REDUCE
    if (!storage) this.global('torch', torch)
    this.bytes(0x74, 0x52) // TUPLE REDUCE
  }

  private storageKey(tensor: TensorSource, bytes: number, path: string): number {
    // A storage has one element type, so data shared between dtypes is written once for each.
    const identity = isLazy(tensor) ? tensor : tensor.data
    const known = this.keys.get(identity)
    if (known !== undefined && this.storages[known]!.tensor.dtype === tensor.dtype) return known
    this.storages.push({ tensor, bytes, path })
    this.keys.set(identity, this.storages.length - 1)
    return this.storages.length - 1
  }

  private integers(values: readonly number[]): void {
    this.bytes(0x28)
    for (const value of values) this.integer(BigInt(value))
    this.bytes(0x74)
  }

  private integer(value: bigint, path = ''): void {
    if (value >= 0n && value < 0x100n) {
      this.bytes(0x4b, Number(value)) // BININT1
    } else if (BigInt.asIntN(32, value) === value) {
      const view = new DataView(new ArrayBuffer(4))
      view.setInt32(0, Number(value), true)
      this.bytes(0x4a, ...new Uint8Array(view.buffer)) // BININT
    } else {
      if (BigInt.asIntN(255 * 8, value) !== value) this.refuse(path, 'is an integer of more than 255 bytes')
      const digits: number[] = []
      do digits.push(Number((value >> BigInt(8 * digits.length)) & 0xffn))
      while (BigInt.asIntN(digits.length * 8, value) !== value)
      this.bytes(0x8a, digits.length, ...digits) // LONG1
    }
  }

  private float(value: number): void {
    const view = new DataView(new ArrayBuffer(8))
    view.setFloat64(0, value, false)
    this.bytes(0x47, ...new Uint8Array(view.buffer)) // BINFLOAT
  }

  private text(value: string, path: string): void {
    if (/\p{Surrogate}/u.test(value)) this.refuse(path, 'has a lone surrogate, which has no UTF-8')
    const encoded = new TextEncoder().encode(value)
    const view = new DataView(new ArrayBuffer(4))
    view.setUint32(0, encoded.length, true)
    this.bytes(0x58, ...new Uint8Array(view.buffer)) // BINUNICODE
    this.append(encoded)
  }

  private global(module: string, name: string): void {
    this.bytes(0x63)
    this.append(new TextEncoder().encode(`${module}\n${name}\n`))
  }

  private bytes(...values: number[]): void {
    this.append(values)
  }

  private append(values: ArrayLike<number>): void {
    const needed = this.length + values.length
    if (needed > MAX_PICKLE_BYTES)
      throw new CheckpointError(
        `tree takes more than ${MAX_PICKLE_BYTES} bytes: write large lists of numbers as tensors`,
      )
    if (needed > this.out.length) {
      const grown = new Uint8Array(Math.max(2 * this.out.length, needed))
      grown.set(this.out.subarray(0, this.length))
      this.out = grown
    }
    this.out.set(values, this.length)
    this.length = needed
  }

  private refuse(path: string, problem: string): never {
    throw new CheckpointError(`cannot write ${path === '' ? 'the value' : quote(path)} to a .pt file: it ${problem}`)
  }
}

function isTensor(value: object): value is TensorSource {
  if (!('shape' in value && 'dtype' in value) || !Array.isArray(value.shape)) return false
  const { data, read } = value as { data?: unknown; read?: unknown }
  return ArrayBuffer.isView(data) || typeof read === 'function'
}

function rowMajorStrides(shape: readonly number[]): number[] {
  // PyTorch counts an empty axis as 1 here, which keeps strides of empty tensors valid.
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1).map(size => Math.max(size, 1))))
}
