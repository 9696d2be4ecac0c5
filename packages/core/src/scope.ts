// Who disposes handles. A scope disposes the tensors made inside it, except those that leave it: returned, kept, or
// held as a gradient. Synchronous on purpose: two interleaved async functions cannot mix up their scopes.

import { type FreedBy, freedBy } from './freed-by'
import type { Tensor } from './tensor'

export class Scope {
  closed = false
  /** The members are a list through the tensors themselves: an op makes a scope and a few tensors, and nothing besides. */
  private first: Tensor | undefined = undefined

  constructor(private readonly end: FreedBy) {}

  add(tensor: Tensor): void {
    const { first } = this
    tensor.scope = this
    tensor.next = first
    if (first) first.previous = tensor
    this.first = tensor
  }

  delete(tensor: Tensor): void {
    const { previous, next } = tensor
    if (previous) previous.next = next
    else this.first = next
    if (next) next.previous = previous
    tensor.scope = tensor.previous = tensor.next = undefined
  }

  /** Disposes all members but those in `result`, which move to `parent`. */
  close(result: unknown, parent: Scope | undefined): void {
    this.closed = true
    this.release(result, parent, undefined)
    // A tensor leaves when it is freed, and takes its gradient with it, which may be a member too.
    while (this.first) this.first.free(this.end)
  }

  /** Moves the tensors in a value: itself, or in arrays, Maps and plain objects. */
  private release(value: unknown, parent: Scope | undefined, seen: Set<object> | undefined): void {
    if (typeof value !== 'object' || value === null) return
    if (isTensor(value)) {
      if (value.scope !== this) return
      this.delete(value)
      adopt(value, parent)
    } else if (!seen?.has(value)) {
      const held = (seen ?? new Set()).add(value)
      for (const item of itemsOf(value)) this.release(item, parent, held)
    }
  }
}

let current: Scope | undefined

/** Gives a new handle to the running scope, or, where there is none, to the garbage collector as the safety net. */
export function adopt(tensor: Tensor, into: Scope | undefined = current): void {
  // A scopeAsync may outlive the scope it was started in.
  if (into && !into.closed) into.add(tensor)
  else tensor.collectable()
}

/** What a container holds, as far as tensors are looked for in it. */
function itemsOf(value: object): Iterable<unknown> {
  if (Array.isArray(value) || value instanceof Set) return value
  if (value instanceof Map) return value.values()
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? Object.values(value) : []
}

function isTensor(value: object): value is Tensor {
  return 'collectable' in value && 'storage' in value
}

export function rejectPromise(name: string, result: unknown): void {
  if (result !== null && typeof result === 'object' && typeof (result as PromiseLike<unknown>).then === 'function') {
    // The promise is dropped here; without this its rejection would end the process before anyone reads the error below.
    ;(result as PromiseLike<unknown>).then(undefined, () => {})
    throw new TypeError(
      `${name}: the function returned a Promise. ${name} is synchronous, so that two interleaved functions cannot mix up their tensors; ` +
        'across awaits use scopeAsync(async s => { … s.run(() => …) … })',
    )
  }
}

function runIn<T>(scope: Scope | undefined, fn: () => T): T {
  const outer = current
  current = scope
  try {
    return fn()
  } finally {
    current = outer
  }
}

/**
 * Runs `fn` and disposes the tensors it made, except those in its result (a tensor, or tensors in arrays, Maps and plain
 * objects), those passed to `keep`, and gradients and parameters. A function whose inside this is passes its name as `owner`: the error
 * of a tensor that is used afterwards then names that, and no place is noted, which costs microseconds. Throws when `fn` returns a Promise.
 */
export function scope<T>(fn: () => T, owner?: string): T {
  return runAndClose(new Scope(owner ? { what: `the end of ${owner}` } : freedBy('the end of a scope', scope)), fn)
}

const END_OF_OP: FreedBy = { what: 'the end of the op that made it' }

/** `scope` for the inside of an op: disposes its intermediate tensors, without noting a place no user would look for. */
export function internally<T>(fn: () => T): T {
  return runAndClose(new Scope(END_OF_OP), fn)
}

function runAndClose<T>(inner: Scope, fn: () => T): T {
  const outer = current
  let result: T
  // Not by `runIn`: every op comes here, and what is called once more is not free before V8 has optimised it.
  current = inner
  try {
    result = fn()
    rejectPromise('scope', result)
  } catch (error) {
    current = outer
    inner.close(undefined, outer)
    throw error
  }
  current = outer
  inner.close(result, outer)
  return result
}

/** A scope that stays open across awaits: tensors made inside `run` belong to it. */
export interface AsyncScope {
  /** Runs `fn` with this scope as the current one; synchronous. */
  run<T>(fn: () => T): T
}

/** As `scope`, for a function that awaits: `await scopeAsync(async s => { const y = s.run(() => model(x)); return await y.data() })`. */
export async function scopeAsync<T>(fn: (scope: AsyncScope) => Promise<T>): Promise<T> {
  const inner = new Scope(freedBy('the end of a scopeAsync', scopeAsync))
  const outer = current
  let open = true
  const handle: AsyncScope = {
    run: body => {
      if (!open) throw new Error('scopeAsync: run() was called after the scope had ended')
      const result = runIn(inner, body)
      rejectPromise('scopeAsync run', result)
      return result
    },
  }
  try {
    const result = await fn(handle)
    open = false
    inner.close(result, outer)
    return result
  } catch (error) {
    open = false
    inner.close(undefined, outer)
    throw error
  }
}

/** Takes a tensor out of the running scopes: whoever holds it now disposes it. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.scope?.delete(tensor)
  tensor.collectable()
  return tensor
}

/** Takes a tensor out of the running scope; false when it is no member of that. */
export function takeFromScope(tensor: Tensor): boolean {
  if (!current || tensor.scope !== current) return false
  current.delete(tensor)
  return true
}

/** Runs `fn` outside every scope: what it makes is owned by the caller (gradients, parameters, optimizer state). */
export function unscoped<T>(fn: () => T): T {
  return runIn(undefined, fn)
}
