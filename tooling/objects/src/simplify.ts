// Heavy meshes with fewer triangles, by quadric edge collapse (npm meshoptimizer), and corners in the order of their use.

import type { Mesh } from '@ditkit/scene-collate'
import { MeshoptEncoder } from 'meshoptimizer/encoder'
import { MeshoptSimplifier } from 'meshoptimizer/simplifier'

export interface SimplifyAim {
  readonly triangles: number
  /** Metres. */
  readonly tolerance: number
}

/** Collapses edges down to `triangles`, as long as the surface moves by at most `tolerance`. */
export async function simplify(mesh: Mesh, { triangles, tolerance }: SimplifyAim): Promise<Mesh> {
  await MeshoptSimplifier.ready
  const { vertices, faces } = mesh
  if (faces.length <= triangles * 3) return mesh
  const flags: ['ErrorAbsolute'] = ['ErrorAbsolute']
  const [kept] = MeshoptSimplifier.simplify(Uint32Array.from(faces), vertices, 3, triangles * 3, tolerance, flags)
  return { vertices, faces: Int32Array.from(kept) }
}

/** Triangles near each other in a row, and corners in the order of their use; corners that none uses are dropped. */
export async function reorder({ vertices, faces }: Mesh): Promise<Mesh> {
  await MeshoptEncoder.ready
  const ordered = Uint32Array.from(faces)
  const [remap, used] = MeshoptEncoder.reorderMesh(ordered, true, true)
  const moved = new Float32Array(used * 3)
  for (const [from, to] of remap.entries()) {
    if (to !== 0xffffffff) moved.set(vertices.subarray(from * 3, from * 3 + 3), to * 3)
  }
  return { vertices: moved, faces: Int32Array.from(ordered) }
}
