// Meshes with known grasps, all standing on z = 0; metres.

import type { Mesh } from '@ditkit/scene-collate'

/** A box with one corner of its base at (-x/2, -y/2, 0). */
export function boxMesh(x: number, y: number, z: number): Mesh {
  const vertices: number[] = []
  for (let i = 0; i < 8; i++) vertices.push((i & 1 ? x : -x) / 2, (i & 2 ? y : -y) / 2, i & 4 ? z : 0)
  const sides = [0, 2, 3, 1, 4, 5, 7, 6, 0, 1, 5, 4, 2, 6, 7, 3, 0, 4, 6, 2, 1, 3, 7, 5]
  const faces = [0, 4, 8, 12, 16, 20].flatMap(q => [0, 1, 2, 0, 2, 3].map(corner => sides[q + corner]))
  return { vertices: Float32Array.from(vertices), faces: Int32Array.from(faces) }
}

/** A profile [radius, z] turned about the vertical; a radius of 0 closes it. */
export function turnedMesh(profile: readonly (readonly [number, number])[], around = 64): Mesh {
  const vertices = profile.flatMap(([radius, z]) =>
    Array.from({ length: around }, (_, i) => {
      const angle = (2 * Math.PI * i) / around
      return [radius * Math.cos(angle), radius * Math.sin(angle), z]
    }).flat(),
  )
  const faces: number[] = []
  for (let ring = 0; ring + 1 < profile.length; ring++) {
    for (let i = 0; i < around; i++) {
      const [a, b] = [ring * around + i, ring * around + ((i + 1) % around)]
      faces.push(a, b, a + around, b, b + around, a + around)
    }
  }
  return { vertices: Float32Array.from(vertices), faces: Int32Array.from(faces) }
}

export const cylinderMesh = (radius: number, height: number) =>
  turnedMesh([
    [0, 0],
    [radius, 0],
    [radius, height],
    [0, height],
  ])

export function sphereMesh(radius: number): Mesh {
  return turnedMesh(
    Array.from({ length: 33 }, (_, i) => {
      const angle = (Math.PI * i) / 32
      return [radius * Math.sin(angle), radius - radius * Math.cos(angle)] as const
    }),
  )
}

/** An open cup: outer wall, rim, inner wall and floor. */
export const cupMesh = (radius: number, height: number, wall: number) =>
  turnedMesh([
    [0, 0],
    [radius, 0],
    [radius, height],
    [radius - wall, height],
    [radius - wall, wall],
    [0, wall],
  ])
