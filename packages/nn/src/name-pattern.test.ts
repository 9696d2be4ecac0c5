import { describe, expect, it } from 'vitest'
import { matchesName } from './name-pattern'

describe('matchesName', () => {
  it('matches whole names with * for any run of characters', () => {
    expect(matchesName('blocks.*.bias', 'blocks.3.attn.qkv.bias')).toBe(true)
    expect(matchesName('blocks.*', 'blocks.0.mlp')).toBe(true)
    expect(matchesName('bias', 'head.bias')).toBe(false)
    expect(matchesName('head.bias', 'headxbias')).toBe(false)
  })

  it('takes a RegExp anywhere in the name, with the g flag too', () => {
    const pattern = /bias$/g
    expect([1, 2].map(() => matchesName(pattern, 'head.bias'))).toEqual([true, true])
  })
})
