import { describe, expect, it } from 'vitest'
import { MAX_SITES, Sites } from './sites'

describe('sites', () => {
  it('are found by their number until they are forgotten', () => {
    const sites = new Sites()
    const first = sites.numberOf({ op: 'embedding' })
    const end = sites.end
    const second = sites.numberOf({ op: 'crossEntropy' }, 'labels')
    expect([sites.find(first)?.site.op, sites.find(second)?.message]).toEqual(['embedding', 'labels'])
    sites.forget(end)
    expect([sites.find(first), sites.find(second)?.site.op]).toEqual([undefined, 'crossEntropy'])
  })

  it('do not read the stack of a call, which costs more than the call', () => {
    const site = {
      op: 'embedding',
      get stack(): string {
        throw new Error('the stack was read')
      },
    }
    expect(() => new Sites().numberOf(site)).not.toThrow()
  })

  it('are bounded for a program that never reads: the oldest go first', () => {
    const sites = new Sites()
    for (let i = 0; i <= MAX_SITES; i++) sites.numberOf({ op: `${i}` })
    expect(sites.find(1)).toBeUndefined()
    expect(sites.find(2)?.site.op).toBe('1')
    expect(sites.find(MAX_SITES + 1)?.site.op).toBe(`${MAX_SITES}`)
  })
})
