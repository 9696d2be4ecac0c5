// The attention contract on every kernel of every device: forward and all gradients against scores materialised in float64.

import type { Device } from '@ditkit/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AttentionCase, type AttentionResult, runCase } from '../src/attention-case'
import { anyCase, SINGLE_OPTIONS } from '../src/attention-cases'
import { attentionSubjects, oracleDevice } from '../src/attention-subjects'

const COMBINATIONS = fc.sample(anyCase, { seed: 20, numRuns: 60 })

/** Relative to a tensor's largest entry. f32: some tens of roundings of numbers near that entry. */
const BOUND = { f64: 1e-12, f32: 1e-5 }

const expected = new Map<AttentionCase, Promise<AttentionResult>>()

let oracle: Device
beforeAll(async () => {
  oracle = await oracleDevice()
})

/** Computed once per case: packed and sliced inputs change nothing. */
function oracleResult(c: AttentionCase): Promise<AttentionResult> {
  const found = expected.get(c) ?? runCase(oracle, { ...c, layout: 'apart' }, 'standard')
  expected.set(c, found)
  return found
}

function expectAgreement(actual: AttentionResult, right: AttentionResult, bound: number): void {
  expect([...actual.keys()].sort()).toEqual([...right.keys()].sort())
  for (const [name, values] of right) {
    const got = actual.get(name) as ArrayLike<number>
    expect(got.length, name).toBe(values.length)
    let [error, scale] = [0, 0]
    for (let i = 0; i < values.length; i++) {
      error = Math.max(error, Math.abs(got[i] - values[i]))
      scale = Math.max(scale, Math.abs(values[i]))
    }
    // Where every query has one key, gradients of the scores cancel to nothing: there the terms are the scale.
    expect(error, name).toBeLessThanOrEqual(bound * (scale < 1e-9 ? 1 : scale))
  }
}

function named(c: AttentionCase): string {
  const { seed: _, batch, queries, keys, heads, dim, valueDim, ...options } = c
  const used = Object.entries(options).filter(([, value]) => value !== undefined && value !== false)
  const text = used.map(([name, value]) => (value === true ? name : `${name} ${JSON.stringify(value)}`)).join(', ')
  return `${[batch, queries, keys, heads, dim, valueDim].join('·')}, ${text}`
}

for (const { device: subject, kernel } of attentionSubjects()) {
  const { name, open, skipped } = subject
  describe.skipIf(skipped)(`attention ${kernel} on ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
    let device: Device
    beforeAll(async () => {
      device = await open()
    })
    afterAll(() => {
      expect(device.memory().liveTensors, 'live tensors').toBe(0)
      expect(device.memory().liveBytes, 'live bytes').toBe(0)
      device.dispose()
    })

    const check = async (c: AttentionCase) =>
      expectAgreement(
        await runCase(device, c, kernel),
        await oracleResult(c),
        device.floatDType === 'f64' ? BOUND.f64 : BOUND.f32,
      )

    it.each(SINGLE_OPTIONS)('%s', (_, c) => check(c))

    it.each(COMBINATIONS.map((c, i) => [i, named(c), c] as const))('combination %i: %s', (_, __, c) => check(c))
  })
}
