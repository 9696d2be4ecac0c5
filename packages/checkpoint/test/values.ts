// fast-check arbitraries for tensors, with random bit patterns as data.
import fc from 'fast-check'
import { DTYPES, dtypeInfo, type TensorRecord } from '../src'

/** A tensor of any dtype and up to four axes, empty ones and scalars included. */
export const anyTensor: fc.Arbitrary<TensorRecord> = fc
  .tuple(fc.constantFrom(...DTYPES), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }))
  .chain(([dtype, shape]) => {
    const { bytes, lanes, array } = dtypeInfo(dtype)
    const size = shape.reduce((product, axis) => product * axis, 1) * bytes
    return fc.uint8Array({ minLength: size, maxLength: size }).map(random => {
      const data = new array(random.slice().buffer as ArrayBuffer, 0, size / (bytes / lanes))
      return { shape, dtype, data } as TensorRecord
    })
  })

/** The bytes behind a tensor, which compare NaNs and -0 too. */
export const bitsOf = ({ data }: TensorRecord): number[] => [
  ...new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
]
