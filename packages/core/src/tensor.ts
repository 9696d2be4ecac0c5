// A tensor: a shape and strides over reference-counted storage on a device, and its place on the tape.

import type { Edge, GradNode } from './autograd/node'
import type { Operand } from './backend'
import type { Device } from './device'
import { bytesPerElement, type DType, type HostArray, hostArray, isFloat } from './dtype'
import { type FreedBy, freedBy, showPlace } from './freed-by'
import { adopt, type Scope } from './scope'
import { contiguousStrides, isContiguous, showShape, sizeOf } from './shape'
import type { Storage } from './storage'

/** What the finalizer frees when a handle was lost; separate from the tensor so that it does not keep it alive. */
interface Resources {
  readonly storage: Storage
  node: GradNode | undefined
}

const FREED_WITH_OWNER: FreedBy = { what: 'the end of the tensor it is the gradient of' }
const FREED_AS_COPY: FreedBy = { what: 'data(), which made it to read from' }

const lost = new FinalizationRegistry<Resources>(resources => {
  resources.storage.device.liveTensors--
  resources.node?.release()
  resources.storage.release()
})

export class Tensor implements Operand {
  /** Set by `backward` on leaves that require a gradient; the tensor owns it. */
  grad: Tensor | undefined
  /** The scope that will dispose this handle, and its neighbours there. */
  scope: Scope | undefined
  previous: Tensor | undefined
  next: Tensor | undefined
  /** For error messages; `nn` sets it on parameters. */
  name: string | undefined
  private freedBy: FreedBy | undefined
  /** Where gradients of this tensor go; undefined when it requires none. */
  private place: Edge | undefined
  /** Set while the garbage collector is to free what a lost handle holds. */
  private resources: Resources | undefined

  /** Takes over one reference to `storage`. Use device methods and ops instead. */
  constructor(
    readonly device: Device,
    private readonly memory: Storage,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly byteOffset: number,
    readonly dtype: DType,
  ) {
    device.liveTensors++
  }

  /** A handle of its own over `base`'s storage; off the tape, owned by the caller. */
  static view(base: Tensor, shape: readonly number[], strides: readonly number[], byteOffset: number): Tensor {
    return new Tensor(base.device, base.storage.retain(), shape, strides, byteOffset, base.dtype)
  }

  get storage(): Storage {
    if (this.freedBy) this.throwFreed('tensor')
    return this.memory
  }

  /** Throws, naming `op` and where the tensor was freed, when it was. */
  checkLive(op: string): void {
    if (this.freedBy) this.throwFreed(op)
  }

  /** Its place on the tape; undefined when it requires no gradient. */
  get edge(): Edge | undefined {
    return this.place
  }

  /** The node this is a result of, which it holds a reference to. */
  get node(): GradNode | undefined {
    return this.place?.node
  }

  /** Makes this a result of a node, whose reference it takes over. */
  joinTape(edge: Edge): void {
    this.place = edge
    if (this.resources) this.resources.node = edge.node
  }

  get rank(): number {
    return this.shape.length
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }

  get contiguous(): boolean {
    return isContiguous(this.shape, this.strides)
  }

  /** How often the storage was written in place. */
  get version(): number {
    return this.storage.version
  }

  get disposed(): boolean {
    return this.freedBy !== undefined
  }

  get isLeaf(): boolean {
    return this.node === undefined
  }

  get requiresGrad(): boolean {
    return this.place !== undefined
  }

  /** Only leaves can be set; the results of ops follow their inputs. */
  set requiresGrad(value: boolean) {
    if (this.node) throw new Error('requiresGrad can only be set on leaves; use detach(t) to cut a result off the tape')
    if (value) checkDifferentiable(this.dtype)
    this.place = value ? { leaf: this, node: undefined, index: 0 } : undefined
  }

  /** A copy of the values, row-major, once all work enqueued before has run. */
  async data(): Promise<HostArray> {
    const values = await this.read()
    this.device.raise()
    return values
  }

  /** The same without what the device has still to report: see `Device.whenRead`. */
  async read(): Promise<HostArray> {
    const dense = this.contiguous ? this : this.device.copyOf(this)
    const bytes = this.size * bytesPerElement(this.dtype)
    // An empty slice may begin behind the end of its memory.
    const offset = bytes === 0 ? 0 : dense.byteOffset
    const pending = this.device.backend.read(dense.storage, offset, bytes)
    if (dense !== this) dense.free(FREED_AS_COPY)
    const read = await pending
    const buffer = read.byteLength === read.buffer.byteLength ? read.buffer : read.slice().buffer
    return hostArray(this.dtype, buffer as ArrayBuffer)
  }

  /** The single value of a one-element tensor. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new RangeError(`item: the tensor has shape ${showShape(this.shape)} (expected one element); use data()`)
    if (this.dtype === 'f16' || this.dtype === 'bf16') {
      throw new TypeError(`item: dtype ${this.dtype} comes as bits; use cast(t, 'f32') first`)
    }
    return (await this.data())[0]
  }

  /** Ends this handle; the memory is freed when the last handle, view or tape entry goes. Twice is harmless. */
  dispose(): void {
    if (!this.freedBy) this.free(freedBy('dispose()', this.dispose))
  }

  [Symbol.dispose](): void {
    if (!this.freedBy) this.free(freedBy('the end of its using', this[Symbol.dispose]))
  }

  /** `dispose`, with the reason that a later use is told. Twice is harmless. */
  free(by: FreedBy): void {
    if (this.freedBy) return
    this.freedBy = by
    this.scope?.delete(this)
    if (this.resources) lost.unregister(this)
    this.grad?.free(FREED_WITH_OWNER)
    this.device.liveTensors--
    this.node?.release()
    this.memory.release()
  }

  /** Lets the garbage collector free what a lost handle holds: the safety net, not the plan. */
  collectable(): void {
    if (this.resources || this.freedBy) return
    this.resources = { storage: this.memory, node: this.node }
    lost.register(this, this.resources, this)
  }

  toString(): string {
    return `Tensor(${showShape(this.shape)}, ${this.dtype}, ${this.device.name}${this.requiresGrad ? ', requiresGrad' : ''})`
  }

  private throwFreed(op: string): never {
    const by = this.freedBy as FreedBy
    const where = showPlace(by)
    throw new Error(
      `${op}: a tensor of shape ${showShape(this.shape)}${this.name ? ` (${this.name})` : ''} is used after it was freed by ${by.what}` +
        (where ? `, which was here:\n${where}\n` : ''),
    )
  }
}

/** `dispose` for many: the place that a later use is told is noted once, which is most of what `dispose` costs. */
export function disposeAll(tensors: Iterable<Tensor | undefined>): void {
  const by = freedBy('disposeAll()', disposeAll)
  for (const tensor of tensors) tensor?.free(by)
}

export function checkDifferentiable(dtype: DType): void {
  if (!isFloat(dtype)) {
    throw new TypeError(`requiresGrad: a tensor of dtype ${dtype} has no gradient (expected a float dtype)`)
  }
}

/** A new contiguous tensor of undefined content, in the running scope. */
export function emptyTensor(device: Device, shape: readonly number[], dtype: DType): Tensor {
  const storage = device.allocate(sizeOf(shape) * bytesPerElement(dtype))
  const tensor = new Tensor(device, storage, shape, contiguousStrides(shape), 0, dtype)
  adopt(tensor)
  return tensor
}

/** A view for one call of the backend, which needs no handle. */
export function operandOf(
  base: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  byteOffset = base.byteOffset,
): Operand {
  return { storage: base.storage, byteOffset, shape, strides, dtype: base.dtype }
}

/** A view in the running scope, off the tape. */
export function viewOf(
  base: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  byteOffset = base.byteOffset,
): Tensor {
  const view = Tensor.view(base, shape, strides, byteOffset)
  adopt(view)
  return view
}
