// The files that tooling/oracle/checkpoint_fixtures.py wrote, and what they must read as.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { TensorRecord } from '../src'

export const fixturePath = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))

export const fixtureBytes = (name: string): Uint8Array => new Uint8Array(readFileSync(fixturePath(name)))

export interface Expected {
  shape: number[]
  dtype: string
  /** Floats as numbers, integers as strings, complex numbers as two numbers each. */
  values: (number | string)[]
}

/** Values by file and tensor name. */
export const expected: Record<string, Record<string, Expected>> = JSON.parse(
  readFileSync(fixturePath('expected.json'), 'utf8'),
)

/** Asserts that a tensor equals the oracle's values, bit for bit for what float64 can hold. */
export function expectTensor(actual: TensorRecord, want: Expected, numbers: ArrayLike<number | bigint>): void {
  expect(actual.shape).toEqual(want.shape)
  expect(actual.dtype).toBe(want.dtype)
  const got = Array.from(numbers, value => (typeof want.values[0] === 'string' ? String(value) : Number(value)))
  expect(got).toEqual(want.values)
}
