// Reads the IDX format of MNIST (http://yann.lecun.com/exdb/mnist): a big-endian header, then bytes.

import { readFileSync } from 'node:fs'
import { messageOf, UserError } from '../errors'

/** A u8 array of the file's shape. Throws naming the file when it is missing, truncated, or not IDX of `rank` axes. */
export function readIdx(path: string, rank: number): { shape: number[]; data: Uint8Array } {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw new UserError(`data set file ${path} cannot be read: ${messageOf(error)}`)
  }
  const header = 4 + 4 * rank
  if (bytes.length < header) {
    throw new UserError(`data set file ${path} is truncated: ${bytes.length} bytes, its header alone has ${header}`)
  }
  const magic = bytes.readUInt32BE(0)
  const expected = 0x0800 + rank
  if (magic !== expected) {
    const hint = bytes.readUInt16BE(0) === 0x1f8b ? '; it is compressed with gzip: unpack it first' : ''
    throw new UserError(
      `data set file ${path} is not IDX of bytes with ${rank} axes: it starts with ${hex(magic)}, expected ${hex(expected)}${hint}`,
    )
  }
  const shape = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i))
  const size = shape.reduce((a, b) => a * b, 1)
  if (bytes.length - header !== size) {
    throw new UserError(
      `data set file ${path} is ${bytes.length - header < size ? 'truncated' : 'too long'}: its header promises ` +
        `${shape.join(' x ')} = ${size} bytes, ${bytes.length - header} follow; fetch it again`,
    )
  }
  return { shape, data: new Uint8Array(bytes.buffer, bytes.byteOffset + header, size) }
}

const hex = (n: number) => `0x${n.toString(16).padStart(8, '0')}`
