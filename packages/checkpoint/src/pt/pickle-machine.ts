// The stack machine behind a pickle: builds plain values and inert records, and asks a host about everything named.
import type { PickleBytes } from './pickle-bytes'
import { describe, isTuple, PtClass, PtObject, type PtValue } from './values'

/** Gives meaning to the few names a file format knows. */
export interface PickleHost {
  /** What `callable(*args)` stands for; undefined leaves an inert PtObject. Never runs anything from the file. */
  reduce(callable: PtClass, args: readonly PtValue[], charge: (bytes: number) => void): PtValue | undefined
  /** The object behind a persistent id. */
  persistent(id: PtValue): PtValue
}

/** Rough heap bytes of what one opcode makes; only their order of magnitude matters. */
export const COST = { slot: 16, list: 64, map: 256, object: 256, entry: 48, memo: 48 }

/** Stack, marks and memo, and the operations that opcodes are made of. */
export class PickleMachine {
  private stack: PtValue[] = []
  private readonly marks: PtValue[][] = []
  private readonly memo = new Map<number, PtValue>()

  constructor(
    readonly bytes: PickleBytes,
    readonly host: PickleHost,
  ) {}

  /** `callable(*args, **kwargs)`, which becomes what the host says or an inert record. */
  construct([callable, args, kwargs]: PtValue[]): void {
    if (!(callable instanceof PtClass)) this.bytes.fail(`calls ${describe(callable)}, which is no class`)
    if (args === undefined || !isTuple(args)) this.bytes.fail(`calls ${callable.className} with ${describe(args)}`)
    if (kwargs !== undefined && !(kwargs instanceof Map))
      this.bytes.fail(`calls ${callable.className} with ${describe(kwargs)} for keyword arguments`)
    this.bytes.charge(COST.object)
    const charge = (cost: number) => this.bytes.charge(cost)
    const known = kwargs?.size ? undefined : this.host.reduce(callable, args, charge)
    this.push(known === undefined ? new PtObject(callable.className, args, kwargs) : known)
  }

  // On an OrderedDict or a tensor the state holds Python attributes (a state_dict's `_metadata`), which have no place
  // on a Map or a tensor here.
  build(state: PtValue): void {
    const target = this.top()
    if (target instanceof PtObject) target.state = state
    else if (target === null || typeof target !== 'object' || Array.isArray(target))
      this.bytes.fail(`sets state on ${describe(target)}`)
  }

  append(values: PtValue[]): void {
    const target = this.top()
    this.bytes.charge(values.length * COST.slot)
    const list = target instanceof PtObject ? target.items : target
    if (!Array.isArray(list) || Object.isFrozen(list)) this.bytes.fail(`appends to ${describe(target)}`)
    for (const value of values) list.push(value)
  }

  addItems(values: PtValue[]): void {
    const target = this.top()
    this.bytes.charge(values.length * COST.entry)
    if (target instanceof Set) for (const value of values) target.add(value)
    else if (target instanceof PtObject) for (const value of values) target.items.push(value)
    else this.bytes.fail(`adds items to ${describe(target)}`)
  }

  setItems(items: PtValue[]): void {
    const target = this.top()
    this.bytes.charge(items.length * COST.entry)
    if (items.length % 2 !== 0) this.bytes.fail('has a dict key without a value')
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!
      const value = items[i + 1]!
      if (target instanceof Map) target.set(key, value)
      else if (target instanceof PtObject) target.entries.push([key, value])
      else this.bytes.fail(`sets a key of ${describe(target)}`)
    }
  }

  pushClass(module: string, name: string): void {
    this.bytes.charge(COST.object)
    // Protocol 2 keeps Python 2's names of the two modules that every file may use.
    const current = module === '__builtin__' ? 'builtins' : module === 'copy_reg' ? 'copyreg' : module
    this.push(new PtClass(`${current}.${name}`))
  }

  push(value: PtValue): void {
    this.bytes.charge(COST.slot)
    this.stack.push(value)
  }

  pushTuple(items: PtValue[]): void {
    this.bytes.charge(COST.list)
    this.push(Object.freeze(items))
  }

  pop(): PtValue {
    const value = this.stack.pop()
    return value === undefined ? this.bytes.fail('takes a value from an empty stack') : value
  }

  popMany(count: number): PtValue[] {
    if (this.stack.length < count) this.bytes.fail('takes a value from an empty stack')
    return this.stack.splice(this.stack.length - count, count)
  }

  popMark(): PtValue[] {
    const items = this.stack
    const below = this.marks.pop()
    if (below === undefined) return this.bytes.fail('ends a group that was never begun')
    this.stack = below
    return items
  }

  top(): PtValue {
    const value = this.stack[this.stack.length - 1]
    return value === undefined ? this.bytes.fail('looks at an empty stack') : value
  }

  remember(index: number): void {
    this.bytes.charge(COST.memo)
    this.memo.set(index, this.top())
  }

  recall(index: number): void {
    const value = this.memo.get(index)
    this.push(value === undefined ? this.bytes.fail(`recalls ${index}, which was never stored`) : value)
  }

  mark(): void {
    this.bytes.charge(COST.list)
    this.marks.push(this.stack)
    this.stack = []
  }

  /** Drops the top value, or the last mark when nothing lies above it. */
  drop(): void {
    if (this.stack.length > 0 || this.marks.length === 0) this.pop()
    else this.popMark()
  }

  /** Pushes a fresh container after charging for it. */
  pushNew(value: PtValue, cost: number): void {
    this.bytes.charge(cost)
    this.push(value)
  }

  memoSize(): number {
    return this.memo.size
  }
}
