// The few names in a torch pickle that stand for tensors and plain containers. Everything else stays an inert record.
import { type DType, dtypeFromTorch } from '../dtype'
import { CheckpointError } from '../errors'
import { MAX_RANK } from '../tensor-record'
import type { PickleHost } from './pickle-machine'
import { PtStorage } from './storage'
import { PtTensor } from './tensor'
import { describe, isTuple, PtClass, type PtValue } from './values'

type Rebuild = (args: readonly PtValue[], charge: (bytes: number) => void, file?: string) => PtValue | undefined

const REBUILDS: ReadonlyMap<string, Rebuild> = new Map<string, Rebuild>([
  // (storage, offset, size, stride, requires_grad, hooks[, metadata])
  ['torch._utils._rebuild_tensor_v2', (args, _, file) => rebuildTensor(args, undefined, args[6], file)],
  // The same with the dtype in place 6, for those without a typed storage.
  ['torch._utils._rebuild_tensor_v3', (args, _, file) => rebuildTensor(args, args[6], args[7], file)],
  ['torch._utils._rebuild_tensor', (args, _, file) => rebuildTensor(args, undefined, undefined, file)],
  // (tensor, requires_grad, hooks[, state])
  ['torch._utils._rebuild_parameter', args => onlyTensor(args[0])],
  ['torch._utils._rebuild_parameter_with_state', args => onlyTensor(args[0])],
  // (function, type, args, state): a tensor with Python attributes
  ['torch._tensor._rebuild_from_type_v2', rebuildFromType],
  ['collections.OrderedDict', (args, charge) => (args.length === 0 ? new Map() : mapOfPairs(args, charge))],
  ['builtins.set', setOf],
  ['builtins.frozenset', setOf],
  ['builtins.bytearray', bytesOf],
  ['builtins.bytes', bytesOf],
  ['_codecs.encode', bytesOf],
])

/** The host that turns torch's names into tensors and containers. */
export function torchHost(persistent: PickleHost['persistent'], file?: string): PickleHost {
  return {
    persistent,
    reduce: ({ className }, args, charge) => REBUILDS.get(className)?.(args, charge, file),
  }
}

function rebuildTensor(
  [storage, offset, size, stride]: readonly PtValue[],
  dtypeName: PtValue | undefined,
  metadata: PtValue | undefined,
  file?: string,
): PtValue {
  const shape = integers(size)
  const strides = integers(stride)
  const dtype = dtypeName === undefined ? storageDType(storage) : namedDType(dtypeName)
  if (!(storage instanceof PtStorage) || typeof offset !== 'number' || !shape || !strides || !dtype) {
    const got = [storage, offset, size, stride, dtypeName].map(describe).join(', ')
    throw new CheckpointError(`data.pkl rebuilds a tensor from ${got}: a dtype or layout that is not supported`, {
      file,
    })
  }
  if (metadata instanceof Map && (metadata.get('conj') || metadata.get('neg'))) {
    const way = 'call resolve_conj() and resolve_neg() before saving'
    throw new CheckpointError(`storage ${storage.key} holds a lazily conjugated or negated tensor: ${way}`, { file })
  }
  return new PtTensor(storage, dtype, { offset, shape, strides })
}

const storageDType = (storage: PtValue | undefined): DType | undefined =>
  storage instanceof PtStorage ? storage.dtype : undefined

const namedDType = (name: PtValue): DType | undefined =>
  name instanceof PtClass ? dtypeFromTorch(name.className) : undefined

function integers(value: PtValue | undefined): readonly number[] | undefined {
  if (value === undefined || !isTuple(value) || value.length > MAX_RANK) return undefined
  const isNumbers = (items: readonly PtValue[]): items is readonly number[] => items.every(x => typeof x === 'number')
  return isNumbers(value) ? value : undefined
}

const onlyTensor = (value: PtValue | undefined): PtTensor | undefined => (value instanceof PtTensor ? value : undefined)

function rebuildFromType(
  args: readonly PtValue[],
  charge: (bytes: number) => void,
  file?: string,
): PtValue | undefined {
  const [callable, , inner] = args
  const isRebuild = callable instanceof PtClass && callable.className.startsWith('torch._utils._rebuild_')
  if (!isRebuild || inner === undefined || !isTuple(inner)) return undefined
  return REBUILDS.get(callable.className)?.(inner, charge, file)
}

function mapOfPairs([pairs]: readonly PtValue[], charge: (bytes: number) => void): PtValue | undefined {
  if (pairs instanceof Map) {
    charge(pairs.size * 48)
    return new Map(pairs)
  }
  if (!Array.isArray(pairs)) return undefined
  charge(pairs.length * 48)
  const isPair = (pair: PtValue): pair is [PtValue, PtValue] => Array.isArray(pair) && pair.length === 2
  return pairs.every(isPair) ? new Map(pairs) : undefined
}

function setOf([items = []]: readonly PtValue[], charge: (bytes: number) => void): PtValue | undefined {
  if (!Array.isArray(items)) return undefined
  charge(items.length * 48)
  return new Set(items)
}

// bytes(), bytearray(bytes), bytearray(str, 'latin-1'), _codecs.encode(str, 'latin1'): how protocol 2 spells bytes.
function bytesOf([value, encoding]: readonly PtValue[], charge: (bytes: number) => void): PtValue | undefined {
  if (value === undefined) return new Uint8Array()
  if (value instanceof Uint8Array && encoding === undefined) {
    charge(value.length)
    return value.slice()
  }
  if (typeof value !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1')) return undefined
  charge(value.length)
  return Uint8Array.from(value, char => char.charCodeAt(0))
}
