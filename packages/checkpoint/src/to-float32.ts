// Any real tensor as float32, as models load their weights.
import { CheckpointError } from './errors'
import { bfloat16ToFloat32, float16ToFloat32 } from './float16'
import type { TensorInput } from './tensor-record'

/**
 * A tensor's data as Float32Array. f16, bf16, f8, bool and integers of up to 16 bits are exact; f64 and wider integers
 * round to the nearest float32. f32 data is returned as it is, not copied.
 * @throws CheckpointError for complex tensors.
 */
export function toFloat32(tensor: TensorInput): Float32Array {
  switch (tensor.dtype) {
    case 'f32':
      return tensor.data
    case 'f16':
      return float16ToFloat32(tensor.data)
    case 'bf16':
      return bfloat16ToFloat32(tensor.data)
    case 'f8_e4m3':
      return Float32Array.from(tensor.data, float8e4m3)
    case 'f8_e5m2':
      // The upper half of a binary16.
      return float16ToFloat32(Uint16Array.from(tensor.data, bits => bits << 8))
    case 'bool':
      return Float32Array.from(tensor.data, value => (value ? 1 : 0))
    case 'i64':
    case 'u64':
      return Float32Array.from(tensor.data as BigInt64Array, Number)
    case 'c64':
    case 'c128':
      throw new CheckpointError(`toFloat32: ${tensor.dtype} has no float32 form: take its (re, im) pairs from data`)
    default:
      return new Float32Array(tensor.data)
  }
}

// OCP 8-bit float, the "fn" kind: bias 7, no infinities, NaN only where all seven bits are set.
function float8e4m3(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1
  const exponent = (bits >> 3) & 0xf
  const fraction = bits & 0x7
  if ((bits & 0x7f) === 0x7f) return Number.NaN
  return exponent === 0 ? sign * fraction * 2 ** -9 : sign * (8 + fraction) * 2 ** (exponent - 10)
}
