// Which objects are held out: a fixed share by hash, objects of like shape or of the same name together.

import { createHash } from 'node:crypto'
import { rngKey } from '@ditkit/core'
import { type Mesh, sampleSurface } from '@ditkit/scene-collate'

/** Share of the objects that are held out, at least. */
const HELD_OUT = 0.18
/** Objects are alike where the mean distance between their surfaces, both scaled to a largest side of 1, is below this. */
const ALIKE = 0.025
const POINTS = 512
const SHAPE_KEY = rngKey(0x5348_4150)

export interface Member {
  readonly id: string
  readonly text: string
  readonly mesh: Mesh
}

/** The group of each object: the id of its first member. */
export function groupAlike(members: readonly Member[]): string[] {
  const clouds = members.map(({ mesh }) => scaledCloud(mesh))
  const groups = members.map((_, i) => i)
  for (let i = 0; i < members.length; i++) {
    for (let j = 0; j < i; j++) {
      if (groups[i] === groups[j]) continue
      if (members[i].text !== members[j].text && surfaceDistance(clouds[i], clouds[j]) >= ALIKE) continue
      const [from, to] = [Math.max(groups[i], groups[j]), Math.min(groups[i], groups[j])]
      for (let k = 0; k < groups.length; k++) if (groups[k] === from) groups[k] = to
    }
  }
  return groups.map(first => members[first].id)
}

/** Per object, whether it is held out: whole groups in the order of their hashes, until there are enough. */
export function holdOut(groups: readonly string[]): boolean[] {
  const ordered = [...new Set(groups)].sort((a, b) => (hashOf(a) < hashOf(b) ? -1 : 1))
  const held = new Set<string>()
  for (const group of ordered) {
    if (groups.filter(other => held.has(other)).length >= HELD_OUT * groups.length) break
    held.add(group)
  }
  return groups.map(group => held.has(group))
}

const hashOf = (group: string) => createHash('sha256').update(group).digest('hex')

/** Points of the surface, centred and scaled. */
function scaledCloud(mesh: Mesh): Float32Array {
  const { points } = sampleSurface(mesh, POINTS, SHAPE_KEY)
  const bounds = [0, 1, 2].map(axis => {
    const values = Array.from({ length: POINTS }, (_, i) => points[i * 3 + axis])
    return [Math.min(...values), Math.max(...values)]
  })
  const size = Math.max(...bounds.map(([low, high]) => high - low))
  return points.map((value, i) => (value - (bounds[i % 3][0] + bounds[i % 3][1]) / 2) / size)
}

/** Mean distance from a point of one to the nearest of the other, both ways (Chamfer distance), the lower of two turns about the vertical. */
function surfaceDistance(a: Float32Array, b: Float32Array): number {
  const turned = b.map((_, i) => (i % 3 === 0 ? b[i + 1] : i % 3 === 1 ? -b[i - 1] : b[i]))
  return Math.min(...[b, turned].map(other => (oneWay(a, other) + oneWay(other, a)) / 2))
}

function oneWay(from: Float32Array, to: Float32Array): number {
  let sum = 0
  for (let i = 0; i < from.length; i += 3) {
    let nearest = Infinity
    for (let j = 0; j < to.length; j += 3) {
      const [x, y, z] = [from[i] - to[j], from[i + 1] - to[j + 1], from[i + 2] - to[j + 2]]
      nearest = Math.min(nearest, x * x + y * y + z * z)
    }
    sum += Math.sqrt(nearest)
  }
  return (sum * 3) / from.length
}
