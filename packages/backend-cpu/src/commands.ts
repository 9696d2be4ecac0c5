// Writes commands into the buffer shared with native code. Native code checks every number, so nothing is checked here.

import type { Operand } from '@ditkit/core'
import type { NativeDevice } from './native'
import { dtypeNumber } from './opcodes'

export class Commands {
  private readonly buffer: Float64Array
  private at = 0

  constructor(private readonly native: NativeDevice) {
    this.buffer = native.commands
  }

  begin(opcode: number): this {
    this.at = 0
    return this.number(opcode)
  }

  number(value: number): this {
    this.buffer[this.at++] = value
    return this
  }

  flag(value: boolean | undefined): this {
    this.buffer[this.at++] = value ? 1 : 0
    return this
  }

  operand(operand: Operand): this {
    const { buffer } = this
    const { shape, strides } = operand
    const rank = shape.length
    let at = this.at
    buffer[at++] = operand.storage.handle as number
    buffer[at++] = operand.byteOffset
    buffer[at++] = dtypeNumber(operand.dtype)
    buffer[at++] = rank
    for (let i = 0; i < rank; i++) buffer[at++] = shape[i]
    for (let i = 0; i < rank; i++) buffer[at++] = strides[i]
    this.at = at
    return this
  }

  optional(operand: Operand | undefined): this {
    this.flag(operand !== undefined)
    return operand ? this.operand(operand) : this
  }

  /** Memory of a contiguous operand whose size native code knows otherwise. */
  span(operand: Operand): this {
    return this.number(operand.storage.handle as number).number(operand.byteOffset)
  }

  /** Enqueues the command. Throws what native code finds wrong with it. */
  submit(): void {
    if (this.at > this.buffer.length) {
      throw new RangeError(`cpu: a call of ${this.at} numbers does not fit the command buffer (${this.buffer.length})`)
    }
    this.native.submit(this.at)
  }
}
