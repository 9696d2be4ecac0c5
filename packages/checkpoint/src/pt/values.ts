// What a PyTorch file holds, as JavaScript values. Classes stay inert: names and arguments, nothing that runs.
import type { PtStorage } from './storage'
import type { PtTensor } from './tensor'

/**
 * A value from a .pt file: None is null; int a number, or a bigint beyond 2^53; dict and OrderedDict a Map; list an
 * array; tuple a frozen array; set and frozenset a Set; bytes and bytearray a Uint8Array.
 */
export type PtValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PtValue[]
  | readonly PtValue[]
  | Map<PtValue, PtValue>
  | Set<PtValue>
  | PtTensor
  | PtStorage
  | PtClass
  | PtObject

/** A class or function named in the file, such as `torch.float32`; never looked up, never called. */
export class PtClass {
  /** Full Python name, `torch.float32`. */
  readonly className: string

  constructor(className: string) {
    this.className = className
  }
}

/** An instance of a class that is neither a tensor nor a plain container: its name and state, nothing that runs. */
export class PtObject {
  /** Full Python name, `argparse.Namespace`. */
  readonly className: string
  /** What the constructor, or the function that rebuilds it, would have been called with. */
  readonly args: readonly PtValue[]
  /** Keyword arguments of the same call. */
  readonly kwargs?: Map<PtValue, PtValue>
  /** What its `__setstate__` or `__dict__` would have received; for a Namespace, a Map of its attributes. */
  state?: PtValue
  /** What would have been appended to it or added to it. */
  readonly items: PtValue[] = []
  /** What would have been set on it as a dict. */
  readonly entries: [PtValue, PtValue][] = []

  constructor(className: string, args: readonly PtValue[], kwargs?: Map<PtValue, PtValue>) {
    this.className = className
    this.args = args
    this.kwargs = kwargs
  }
}

export function isTuple(value: PtValue): value is readonly PtValue[] {
  return Array.isArray(value) && Object.isFrozen(value)
}

/** A short description for error messages. */
export function describe(value: PtValue | undefined): string {
  if (value === null) return 'None'
  if (Array.isArray(value)) return `${Object.isFrozen(value) ? 'a tuple' : 'a list'} of ${value.length}`
  if (value instanceof PtClass || value instanceof PtObject) return `a ${value.className.slice(0, 80)}`
  if (typeof value === 'object') return `a ${value.constructor.name}`
  if (typeof value === 'string') return `the string ${JSON.stringify(value.slice(0, 40))}`
  return `the ${typeof value} ${String(value).slice(0, 40)}`
}
