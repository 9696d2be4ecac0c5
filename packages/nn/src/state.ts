// Weights on the host: what a state dict holds, and how values of other float dtypes become a device's own.

import { assign, type Tensor } from '@ditkit/core'

/** A tensor's values on the host, row-major; f16 and bf16 as bit patterns. What `@ditkit/checkpoint` reads and writes. */
export type TensorRecord =
  | { shape: number[]; dtype: 'f32'; data: Float32Array }
  | { shape: number[]; dtype: 'f64'; data: Float64Array }
  | { shape: number[]; dtype: 'f16'; data: Uint16Array }
  | { shape: number[]; dtype: 'bf16'; data: Uint16Array }
  | { shape: number[]; dtype: 'i32'; data: Int32Array }
  | { shape: number[]; dtype: 'bool'; data: Uint8Array }

/** Values by weight name. */
export type StateDict = Record<string, TensorRecord>

interface LoadedTensor {
  readonly shape: readonly number[]
  readonly dtype: string
  readonly data: ArrayLike<number> | ArrayLike<bigint>
}

/** A tensor to load from: in memory, or read when its turn comes, as from a checkpoint larger than memory. */
export type TensorSource =
  | LoadedTensor
  | { readonly shape: readonly number[]; readonly dtype: string; read(): Promise<LoadedTensor> }

/** Sources by weight name. */
export type StateSource = ReadonlyMap<string, TensorSource> | Readonly<Record<string, TensorSource>>

/** The entries of a Map or of a plain object. */
export function sourceEntries(source: StateSource): Map<string, TensorSource> {
  return new Map(source instanceof Map ? source : Object.entries(source))
}

/** Reads tensors by name. All reads are enqueued before the first is awaited, so they show one moment. */
export async function readTensors(tensors: ReadonlyMap<string, Tensor>): Promise<StateDict> {
  const reads = [...tensors].map(async ([name, tensor]) => {
    const record = { shape: [...tensor.shape], dtype: tensor.dtype, data: await tensor.data() } as TensorRecord
    return [name, record] as const
  })
  return Object.fromEntries(await Promise.all(reads))
}

/**
 * Copies a source's values into `target`, whose shape they have: floats of any width into floats, i32 and bool into their own.
 * @throws TypeError for a dtype that does not go there; then nothing was changed.
 */
export async function loadValues(target: Tensor, name: string, source: TensorSource): Promise<void> {
  const { shape, dtype, data } = 'read' in source ? await source.read() : source
  const { device } = target
  const whole = target.dtype === 'i32' || target.dtype === 'bool'
  const tensor = whole
    ? device.tensor(wholeValues(name, target.dtype, dtype, data), [...shape], { dtype: target.dtype })
    : device.tensor(floatValues(name, dtype, data), [...shape], { dtype: device.floatDType })
  assign(target, tensor)
  tensor.dispose()
}

function wholeValues(name: string, wanted: string, dtype: string, data: LoadedTensor['data']): Int32Array | Uint8Array {
  if (dtype === wanted && (data instanceof Int32Array || data instanceof Uint8Array)) return data
  throw new TypeError(
    `${name}: expected ${wanted} values, got ${dtype} in a ${data?.constructor?.name}; convert them before loading`,
  )
}

function floatValues(name: string, dtype: string, data: LoadedTensor['data']): Float32Array | Float64Array {
  if ((dtype === 'f32' && data instanceof Float32Array) || (dtype === 'f64' && data instanceof Float64Array))
    return data
  if (dtype === 'f16' && data instanceof Uint16Array) return Float32Array.from(data, halfToNumber)
  if (dtype === 'bf16' && data instanceof Uint16Array) return bfloat16ToFloat32(data)
  throw new TypeError(
    `${name}: expected f32, f64, f16 or bf16 values, got ${dtype} in a ${data?.constructor?.name}; convert them before loading`,
  )
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

function bfloat16ToFloat32(data: Uint16Array): Float32Array {
  const words = Uint32Array.from(data, bits => bits << 16)
  return new Float32Array(words.buffer)
}
