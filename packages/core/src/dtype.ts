// The element types a tensor may hold, and how the host sees them.

export type DType = 'f32' | 'f64' | 'f16' | 'bf16' | 'i32' | 'bool'
export type FloatDType = 'f32' | 'f64' | 'f16' | 'bf16'

/**
 * What a matrix product rounds its operands to before it multiplies them (to nearest, ties to even; what is below the least normal number
 * may count as 0). It sums in f32 or better and stores in its tensors' dtype. 'f32' leaves operands as they are.
 */
export type ComputeDType = 'f32' | 'bf16' | 'f16'

/** What `await tensor.data()` gives. f16 and bf16 come as bit patterns in a `Uint16Array`; bool as 0 and 1 in a `Uint8Array`. */
export type HostArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array

const BYTES: Record<DType, number> = { f32: 4, f64: 8, f16: 2, bf16: 2, i32: 4, bool: 1 }

export function bytesPerElement(dtype: DType): number {
  return BYTES[dtype]
}

export function isFloat(dtype: DType): dtype is FloatDType {
  return dtype !== 'i32' && dtype !== 'bool'
}

/** A typed array of `length` elements over a fresh buffer, or over `buffer` when it is given. */
export function hostArray(dtype: DType, source: number | ArrayBuffer): HostArray {
  switch (dtype) {
    case 'f32':
      return new Float32Array(source as number)
    case 'f64':
      return new Float64Array(source as number)
    case 'i32':
      return new Int32Array(source as number)
    case 'bool':
      return new Uint8Array(source as number)
    default:
      return new Uint16Array(source as number)
  }
}
