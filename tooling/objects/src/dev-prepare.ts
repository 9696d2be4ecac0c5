import { writeFileSync } from 'node:fs'
import { serialize } from 'node:v8'
import { readCatalogues } from './catalogue'
import { reasonToDrop } from './choose'
import { prepare } from './prepare'
const out: Record<string, unknown> = {}
for (const piece of readCatalogues('/usr/share/sweethome3d/furniture')) {
  if (reasonToDrop(piece)) continue
  const t = performance.now()
  const mesh = await prepare(piece)
  out[`${piece.catalogue}/${piece.id}`] = mesh
  console.log(piece.id, mesh.faces.length / 3, Math.round(performance.now() - t))
}
writeFileSync('/tmp/prepared.v8', serialize(out))
