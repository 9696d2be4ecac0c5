// The tape: one node per recorded op, with edges to the nodes (or leaves) of its inputs and the tensors it saved.
// Nodes are reference-counted like storage, so a result that is dropped frees what its history saved at once.

import { Tensor } from '../tensor'
import { isGradEnabled } from './mode'

/** What a node's gradient function is given besides the gradients. */
export interface BackwardContext {
  /** Tensors given to `record` as `saved`, in order; owned by the tape. */
  readonly saved: readonly Tensor[]
  /** Whether input i wants a gradient. */
  readonly needs: readonly boolean[]
  /**
   * Takes what input i, a result, has received from other ops so far, if anything: the op must add it to what it returns for i, and may
   * write into it where nothing else holds its memory. For kernels that add in passing; without it the engine adds.
   */
  take(i: number): Tensor | undefined
}

/**
 * Gradients of a node's inputs from those of its outputs (undefined where an output was not used). May return
 * undefined for an input that needs none. Runs without recording, in a scope of its own.
 *
 * (Ops take the first gradient as `({ 0: g })`: an array pattern walks the iterator protocol until V8 has optimised the function, which in
 * a training step, where each runs once, it does late or never.)
 */
export type BackwardFunction = (
  grads: readonly (Tensor | undefined)[],
  context: BackwardContext,
) => readonly (Tensor | undefined)[]

/**
 * Where the gradient of a tensor goes: to the leaf it is, or to output `index` of a node. Each tensor has one, which all
 * nodes that read it share.
 */
export type Edge =
  | { readonly leaf: Tensor; readonly node: undefined; readonly index: 0 }
  | { readonly leaf: undefined; readonly node: GradNode; readonly index: number }

let nextId = 0

/** Nodes whose last reference went, waiting to be dropped. */
const unreferenced: GradNode[] = []
let dropping = false

const NONE: readonly never[] = []

const FREED = { what: 'backward, which frees saved activations as it consumes them' }

export class GradNode {
  /** Rises in the order of recording: every consumer of a node has a higher id. */
  readonly id = nextId++
  /** Shapes of the outputs; set by `attach`. */
  outputs: readonly (readonly number[])[] = []
  consumed = false
  /** Recomputed nodes may reach leaves that are not among their edges. */
  opaque = false
  private references = 0
  /** Handles of the tape's own, and the versions they had. */
  private saved: readonly Tensor[]
  private readonly versions: readonly number[]

  constructor(
    readonly op: string,
    public edges: readonly (Edge | undefined)[],
    saved: readonly Tensor[],
    readonly backward: BackwardFunction,
  ) {
    for (let i = 0; i < edges.length; i++) edges[i]?.node?.retain()
    this.saved = saved.map(handleOf)
    this.versions = saved.map(versionOf)
  }

  retain(): this {
    this.references++
    return this
  }

  release(): void {
    if (--this.references > 0) return
    unreferenced.push(this)
    if (dropping) return
    // A loop, not recursion: a history may be tens of thousands of nodes deep.
    dropping = true
    for (let node = unreferenced.pop(); node; node = unreferenced.pop()) node.drop()
    dropping = false
  }

  /** The saved tensors, checked: a tensor changed in place since gives a wrong gradient without a word. */
  unpack(): readonly Tensor[] {
    for (let i = 0; i < this.saved.length; i++) {
      if (this.saved[i].version !== this.versions[i]) this.throwChanged(this.saved[i], this.versions[i])
    }
    return this.saved
  }

  private throwChanged({ name, shape, version }: Tensor, before: number): never {
    throw new Error(
      `backward of ${this.op}: ${name ? `parameter ${name}` : `a saved tensor of shape [${shape.join(', ')}]`} was changed in place after the forward pass ` +
        `(version ${before}, now ${version}); run the optimizer after backward, or run the forward pass again`,
    )
  }

  /** Frees what the node holds; it cannot be differentiated afterwards. */
  drop(): void {
    this.consumed = true
    const { saved, edges } = this
    this.saved = NONE
    this.edges = NONE
    for (let i = 0; i < saved.length; i++) saved[i].free(FREED)
    for (let i = 0; i < edges.length; i++) edges[i]?.node?.release()
  }
}

function handleOf(tensor: Tensor): Tensor {
  const handle = Tensor.view(tensor, tensor.shape, tensor.strides, tensor.byteOffset)
  handle.name = tensor.name
  return handle
}

function shapeOf(tensor: Tensor): readonly number[] {
  return tensor.shape
}

function versionOf(tensor: Tensor): number {
  return tensor.version
}

/** The leaves that the function `recompute` is running uses. */
let watching: Set<Tensor> | undefined

/** Runs `fn` and returns, besides its result, the leaves requiring a gradient that its ops read. */
export function watchLeaves<T>(fn: () => T): { result: T; leaves: Tensor[] } {
  const outer = watching
  const leaves = new Set<Tensor>()
  watching = leaves
  try {
    return { result: fn(), leaves: [...leaves] }
  } finally {
    watching = outer
    if (outer) for (const leaf of leaves) outer.add(leaf)
  }
}

/** Whether an op over these inputs goes on the tape now. */
export function shouldRecord(inputs: readonly (Tensor | undefined)[]): boolean {
  if (!isGradEnabled()) return false
  for (let i = 0; i < inputs.length; i++) if (inputs[i]?.requiresGrad) return true
  return false
}

/**
 * Puts an op on the tape: `outputs` become results of a node over `inputs`. Does nothing when no input requires a
 * gradient or recording is off. An optional input that was not given is undefined, and needs no gradient. `saved` may hold
 * inputs and outputs; the tape keeps references of its own.
 */
export function record(
  op: string,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Tensor[],
  saved: readonly Tensor[],
  backward: BackwardFunction,
): void {
  if (watching) for (const input of inputs) if (input?.isLeaf && input.requiresGrad) watching.add(input)
  if (!shouldRecord(inputs)) return
  attach(new GradNode(op, inputs.map(edgeOf), saved, backward), outputs)
}

function edgeOf(tensor: Tensor | undefined): Edge | undefined {
  return tensor?.edge
}

/** Makes `outputs` the results of `node`. */
export function attach(node: GradNode, outputs: readonly Tensor[]): void {
  node.outputs = outputs.map(shapeOf)
  for (let index = 0; index < outputs.length; index++) {
    outputs[index].joinTape({ leaf: undefined, node: node.retain(), index })
  }
}
