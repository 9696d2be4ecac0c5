// Element types of checkpoints: the array that holds each one here, and its names in safetensors and PyTorch.

/** The typed array that holds each dtype. f16, bf16 and f8 come as raw bits; complex numbers as (re, im) pairs. */
export interface TensorArrays {
  f64: Float64Array
  f32: Float32Array
  f16: Uint16Array
  bf16: Uint16Array
  f8_e4m3: Uint8Array
  f8_e5m2: Uint8Array
  i64: BigInt64Array
  i32: Int32Array
  i16: Int16Array
  i8: Int8Array
  u64: BigUint64Array
  u32: Uint32Array
  u16: Uint16Array
  u8: Uint8Array
  bool: Uint8Array
  c64: Float32Array
  c128: Float64Array
}

export type DType = keyof TensorArrays
export type TensorArray = TensorArrays[DType]

/** How one dtype is stored. */
export interface DTypeInfo {
  /** Bytes of one tensor element. */
  readonly bytes: number
  /** Array entries per tensor element: 2 for complex numbers, else 1. */
  readonly lanes: 1 | 2
  readonly array: new (buffer: ArrayBuffer, byteOffset: number, length: number) => TensorArray
  /** Name in a safetensors header. */
  readonly safetensors: string
  /** Name under `torch.`. */
  readonly torch: string
  /** PyTorch's typed storage class under `torch.`; the newer dtypes have none and use an untyped storage. */
  readonly storage?: string
}

const TABLE: { readonly [D in DType]: DTypeInfo } = {
  f64: { bytes: 8, lanes: 1, array: Float64Array, safetensors: 'F64', torch: 'float64', storage: 'DoubleStorage' },
  f32: { bytes: 4, lanes: 1, array: Float32Array, safetensors: 'F32', torch: 'float32', storage: 'FloatStorage' },
  f16: { bytes: 2, lanes: 1, array: Uint16Array, safetensors: 'F16', torch: 'float16', storage: 'HalfStorage' },
  bf16: { bytes: 2, lanes: 1, array: Uint16Array, safetensors: 'BF16', torch: 'bfloat16', storage: 'BFloat16Storage' },
  f8_e4m3: { bytes: 1, lanes: 1, array: Uint8Array, safetensors: 'F8_E4M3', torch: 'float8_e4m3fn' },
  f8_e5m2: { bytes: 1, lanes: 1, array: Uint8Array, safetensors: 'F8_E5M2', torch: 'float8_e5m2' },
  i64: { bytes: 8, lanes: 1, array: BigInt64Array, safetensors: 'I64', torch: 'int64', storage: 'LongStorage' },
  i32: { bytes: 4, lanes: 1, array: Int32Array, safetensors: 'I32', torch: 'int32', storage: 'IntStorage' },
  i16: { bytes: 2, lanes: 1, array: Int16Array, safetensors: 'I16', torch: 'int16', storage: 'ShortStorage' },
  i8: { bytes: 1, lanes: 1, array: Int8Array, safetensors: 'I8', torch: 'int8', storage: 'CharStorage' },
  u64: { bytes: 8, lanes: 1, array: BigUint64Array, safetensors: 'U64', torch: 'uint64' },
  u32: { bytes: 4, lanes: 1, array: Uint32Array, safetensors: 'U32', torch: 'uint32' },
  u16: { bytes: 2, lanes: 1, array: Uint16Array, safetensors: 'U16', torch: 'uint16' },
  u8: { bytes: 1, lanes: 1, array: Uint8Array, safetensors: 'U8', torch: 'uint8', storage: 'ByteStorage' },
  bool: { bytes: 1, lanes: 1, array: Uint8Array, safetensors: 'BOOL', torch: 'bool', storage: 'BoolStorage' },
  c64: {
    bytes: 8,
    lanes: 2,
    array: Float32Array,
    safetensors: 'C64',
    torch: 'complex64',
    storage: 'ComplexFloatStorage',
  },
  c128: {
    bytes: 16,
    lanes: 2,
    array: Float64Array,
    safetensors: 'C128',
    torch: 'complex128',
    storage: 'ComplexDoubleStorage',
  },
}

/** Every dtype this package knows. */
export const DTYPES = Object.keys(TABLE) as DType[]

/** Storage facts of a dtype. */
export function dtypeInfo(dtype: DType): DTypeInfo {
  return TABLE[dtype]
}

export function isDType(name: unknown): name is DType {
  return typeof name === 'string' && Object.hasOwn(TABLE, name)
}

const BY_SAFETENSORS = new Map<string, DType>(DTYPES.map(dtype => [TABLE[dtype].safetensors, dtype]))
const BY_TORCH = new Map<string, DType>(DTYPES.map(dtype => [`torch.${TABLE[dtype].torch}`, dtype]))
const BY_STORAGE = new Map<string, DType>(
  DTYPES.flatMap(dtype => (TABLE[dtype].storage ? [[`torch.${TABLE[dtype].storage}`, dtype] as const] : [])),
)

/** `F32` to `f32`; undefined when unknown. */
export const dtypeFromSafetensors = (name: string): DType | undefined => BY_SAFETENSORS.get(name)
/** `torch.float32` to `f32`; undefined when unknown. */
export const dtypeFromTorch = (name: string): DType | undefined => BY_TORCH.get(name)
/** `torch.FloatStorage` to `f32`; undefined when unknown. */
export const dtypeFromStorage = (name: string): DType | undefined => BY_STORAGE.get(name)
