// Reverse accumulation over the tape. Nodes are taken in falling order of recording, which is a reverse topological
// order, so a node's gradient is complete when its turn comes; nodes recorded meanwhile (recompute) simply come first.

import type { Backend } from '../backend'
import type { FreedBy } from '../freed-by'
import { program } from '../program'
import { adopt, internally, takeFromScope, unscoped } from '../scope'
import { sameShape, showShape } from '../shape'
import { emptyTensor, Tensor } from '../tensor'
import { withGrad } from './mode'
import type { Edge, GradNode } from './node'

const ACCUMULATE = program('accumulate gradient', 2, 0, (b, x, y) => b.add(x, y))

const FREED: FreedBy = { what: 'backward, which frees gradients as it consumes them' }

/** a + b, into a's memory when nothing else holds it. Consumes both handles. */
function accumulate(a: Tensor, b: Tensor): Tensor {
  const reuse = a.contiguous && !a.storage.shared
  const sum = reuse ? a : unscoped(() => emptyTensor(a.device, a.shape, a.dtype))
  const backend: Backend = a.device.backend
  backend.elementwise(ACCUMULATE, a.shape, [a, b], [], [sum])
  if (!reuse) a.free(FREED)
  b.free(FREED)
  return sum
}

/** The nodes with a gradient waiting, highest id first (a binary heap). */
class Pending {
  private readonly heap: GradNode[] = []
  private readonly gradients = new Map<GradNode, (Tensor | undefined)[]>()

  /** Takes over the handle `gradient`. */
  add(node: GradNode, index: number, gradient: Tensor): void {
    let slots = this.gradients.get(node)
    if (!slots) {
      slots = new Array(node.outputs.length).fill(undefined)
      this.gradients.set(node.retain(), slots)
      this.push(node)
    }
    const old = slots[index]
    slots[index] = old ? accumulate(old, gradient) : gradient
  }

  /** Hands back what was added for an output of a node so far. */
  take(node: GradNode, index: number): Tensor | undefined {
    const slots = this.gradients.get(node)
    const gradient = slots?.[index]
    if (slots) slots[index] = undefined
    return gradient
  }

  pop(): { node: GradNode; gradients: (Tensor | undefined)[] } | undefined {
    const node = this.heap[0]
    if (!node) return undefined
    const last = this.heap.pop() as GradNode
    if (this.heap.length > 0) {
      this.heap[0] = last
      this.sink()
    }
    const gradients = this.gradients.get(node) as (Tensor | undefined)[]
    this.gradients.delete(node)
    return { node, gradients }
  }

  /** After a failure: frees the gradients that will not be used. */
  clear(): void {
    for (const [node, slots] of this.gradients) {
      for (const slot of slots) slot?.free(FREED)
      node.release()
    }
    this.gradients.clear()
    this.heap.length = 0
  }

  private push(node: GradNode): void {
    const heap = this.heap
    let i = heap.push(node) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (heap[parent].id > heap[i].id) break
      swap(heap, parent, i)
      i = parent
    }
  }

  private sink(): void {
    const heap = this.heap
    for (let i = 0; ; ) {
      let largest = i
      for (let child = 2 * i + 1; child <= 2 * i + 2; child++) {
        if (child < heap.length && heap[child].id > heap[largest].id) largest = child
      }
      if (largest === i) return
      swap(heap, largest, i)
      i = largest
    }
  }
}

function swap(heap: GradNode[], i: number, j: number): void {
  const node = heap[i]
  heap[i] = heap[j]
  heap[j] = node
}

/** Adds gradients to nodes while backward runs: how `recompute` hands its inner tape to the same pass. */
export type Seed = (edge: Edge, gradient: Tensor) => void

let running: Seed | undefined

/** The pass that is running; only within a node's backward function. */
export function currentPass(): Seed {
  if (!running) throw new Error('currentPass: no backward pass is running')
  return running
}

interface Pass {
  /** Receives the gradient of a leaf and takes over the handle. */
  onLeaf(leaf: Tensor, gradient: Tensor): void
  /** Sees the complete gradients of a node before it is differentiated. */
  onNode?(node: GradNode, gradients: readonly (Tensor | undefined)[]): void
  /** Edges for which this is false get no gradient, and the ops behind them do not compute one. */
  wants?(edge: Edge): boolean
}

function run(root: Tensor, gradient: Tensor, pass: Pass): void {
  const pending = new Pending()
  const seed: Seed = (edge, tensor) => {
    if (edge.leaf) pass.onLeaf(edge.leaf, tensor)
    else pending.add(edge.node, edge.index, tensor)
  }
  const outer = running
  running = seed
  try {
    withGrad(false, () => {
      seed(root.edge as Edge, gradient)
      for (let next = pending.pop(); next; next = pending.pop()) {
        const { node, gradients } = next
        try {
          pass.onNode?.(node, gradients)
          step(node, gradients, pending, seed, pass)
        } finally {
          for (let i = 0; i < gradients.length; i++) gradients[i]?.free(FREED)
          node.drop()
          node.release()
        }
      }
    })
  } catch (error) {
    pending.clear()
    throw error
  } finally {
    running = outer
  }
}

function step(
  node: GradNode,
  gradients: readonly (Tensor | undefined)[],
  pending: Pending,
  seed: Seed,
  pass: Pass,
): void {
  if (node.consumed) {
    throw new Error(
      `backward: ${node.op} was differentiated before and its saved activations are freed; ` +
        'run the forward pass again, or add the losses up and call backward once',
    )
  }
  const { edges } = node
  const needs: boolean[] = []
  for (let i = 0; i < edges.length; i++) needs.push(wantsGradient(pass, edges[i]))
  const received: (Tensor | undefined)[] = []
  const take = (i: number) => {
    const edge = edges[i]
    const gradient = edge?.node && needs[i] ? pending.take(edge.node, edge.index) : undefined
    if (gradient) adopt(gradient)
    return gradient
  }
  try {
    internally(() => {
      const results = node.backward(gradients, { saved: node.unpack(), needs, take })
      for (let i = 0; i < edges.length; i++) {
        const edge = edges[i]
        const result = edge && needs[i] ? results[i] : undefined
        if (edge && result) checkShape(node.op, i, result, edge)
        received.push(result && own(result))
      }
    })
  } catch (error) {
    for (const gradient of received) gradient?.free(FREED)
    throw error
  }
  // Only now that the op's own handles are gone does shared memory mean that someone else holds it, and must be copied.
  for (let i = 0; i < received.length; i++) {
    const gradient = received[i]
    if (gradient) seed(edges[i] as Edge, gradient)
  }
}

function wantsGradient(pass: Pass, edge: Edge | undefined): boolean {
  return edge !== undefined && (pass.wants?.(edge) ?? true)
}

/** A gradient of another shape would be broadcast without a word. */
function checkShape(op: string, index: number, gradient: Tensor, edge: Edge): void {
  const shape = edge.leaf ? edge.leaf.shape : edge.node.outputs[edge.index]
  if (sameShape(gradient.shape, shape)) return
  throw new RangeError(
    `backward of ${op}: the gradient of input ${index} has shape ${showShape(gradient.shape)} but the input has ${showShape(shape)}`,
  )
}

/** What a node's function made, taken from its scope; a handle of the engine's own to what is not the function's alone. */
function own(result: Tensor): Tensor {
  return !result.requiresGrad && takeFromScope(result) ? result : anotherHandle(result)
}

function anotherHandle(tensor: Tensor): Tensor {
  return Tensor.view(tensor, tensor.shape, tensor.strides, tensor.byteOffset)
}

function rootGradient(op: string, output: Tensor, gradient: Tensor | undefined): Tensor {
  if (!output.requiresGrad) {
    throw new Error(
      `${op}: the tensor does not depend on anything that requires a gradient (set requiresGrad on a leaf, and leave noGrad)`,
    )
  }
  if (gradient) {
    if (!sameShape(gradient.shape, output.shape)) {
      throw new RangeError(
        `${op}: the gradient has shape ${showShape(gradient.shape)} but the tensor has ${showShape(output.shape)}`,
      )
    }
    if (gradient.dtype !== output.dtype || gradient.device !== output.device) {
      throw new TypeError(
        `${op}: the gradient is ${gradient} but the tensor is ${output} (dtype and device must agree)`,
      )
    }
    return anotherHandle(gradient)
  }
  if (output.size !== 1) {
    throw new RangeError(
      `${op}: a tensor of shape ${showShape(output.shape)} needs an explicit gradient; only a single element has the implicit 1`,
    )
  }
  return unscoped(() => output.device.ones(output.shape, { dtype: output.dtype }))
}

/**
 * Adds d(tensor)/d(leaf) to `.grad` of every leaf that requires a gradient. `gradient` has the tensor's shape; a single
 * element needs none. Frees saved activations as it goes, so a graph can be differentiated once.
 */
export function backward(tensor: Tensor, gradient?: Tensor): void {
  run(tensor, rootGradient('backward', tensor, gradient), {
    onLeaf(leaf, received) {
      if (leaf.disposed) {
        received.free(FREED)
        return
      }
      leaf.grad = leaf.grad ? accumulate(leaf.grad, received) : unshared(received)
      leaf.grad.collectable()
    },
  })
}

/** A contiguous tensor that nothing else shares, so that later accumulation may write into it. */
function unshared(tensor: Tensor): Tensor {
  if (tensor.contiguous && !tensor.storage.shared) return tensor
  const copy = tensor.device.copyOf(tensor)
  tensor.free(FREED)
  return copy
}

/**
 * d(output)/d(inputs), without touching any `.grad`. Inputs may be leaves or results. An input that output does not
 * depend on gets zeros. Frees the part of the graph it walked.
 */
export function grad(output: Tensor, inputs: readonly Tensor[], gradient?: Tensor): Tensor[] {
  const found = new Map<Tensor, Tensor>()
  const keyOf = new Map<GradNode, Map<number, Tensor>>()
  const leaves = new Set<Tensor>()
  for (const input of inputs) {
    const { edge } = input
    if (!edge) throw new Error(`grad: an input of shape ${showShape(input.shape)} does not require a gradient`)
    if (edge.node) {
      const slots = keyOf.get(edge.node) ?? new Map<number, Tensor>()
      keyOf.set(edge.node, slots.set(edge.index, input))
    } else leaves.add(input)
  }
  const wanted = reaching(output.node, node => keyOf.has(node), leaves)
  const start = rootGradient('grad', output, gradient)
  const pass: Pass = {
    // A node that recompute makes while the pass runs is not in the map.
    wants: edge => (edge.leaf ? leaves.has(edge.leaf) : (wanted.get(edge.node) ?? true)),
    onLeaf(leaf, received) {
      if (!leaves.has(leaf)) received.free(FREED)
      else {
        const old = found.get(leaf)
        found.set(leaf, old ? accumulate(old, received) : unshared(received))
      }
    },
    onNode(node, gradients) {
      for (const [index, input] of keyOf.get(node) ?? []) {
        const received = gradients[index]
        if (received) found.set(input, received.device.copyOf(received))
      }
    },
  }
  try {
    run(output, start, pass)
  } catch (error) {
    for (const received of found.values()) received.free(FREED)
    throw error
  }
  return inputs.map(input => {
    const { node, index } = input.edge as Edge
    const first = node ? (keyOf.get(node)?.get(index) as Tensor) : input
    const received = found.get(first)
    const result = unscoped(() => {
      if (!received) return input.device.zeros(input.shape, { dtype: input.dtype })
      return first === input ? received : received.device.copyOf(received)
    })
    adopt(result)
    return result
  })
}

/** For every node below `root`: whether a wanted node or leaf can be reached from it. */
function reaching(
  root: GradNode | undefined,
  isWanted: (node: GradNode) => boolean,
  leaves: Set<Tensor>,
): Map<GradNode, boolean> {
  const nodes: GradNode[] = []
  const seen = new Set<GradNode>()
  const stack = root ? [root] : []
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    nodes.push(node)
    for (const edge of node.edges) if (edge?.node) stack.push(edge.node)
  }
  const result = new Map<GradNode, boolean>()
  for (const node of nodes.sort((a, b) => a.id - b.id)) {
    const reaches = node.edges.some(edge => edge && (edge.leaf ? leaves.has(edge.leaf) : result.get(edge.node)))
    result.set(node, node.opaque || reaches || isWanted(node))
  }
  return result
}
