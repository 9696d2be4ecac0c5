import { readFileSync, writeFileSync } from 'node:fs'
import { deserialize } from 'node:v8'
import { rngKey } from '@ditkit/core'
import { sampleSurface } from '@ditkit/scene-collate'
import { sceneViewsPng } from '../../../apps/train/src/report/scene-view'
const all = Object.entries(deserialize(readFileSync('/tmp/prepared.v8')) as Record<string, any>)
const N = 42
for (let s = 0; s * N < all.length; s++) {
  const views = all.slice(s * N, s * N + N).map(([title, mesh]) => {
    const { points, fields } = sampleSurface(mesh, 2500, rngKey(1))
    return { title: title.split('/')[1] + ' ' + mesh.faces.length / 3, points, normals: fields!.normals.data as Float32Array }
  })
  writeFileSync(`/tmp/sheet${s}.png`, await sceneViewsPng(views, 6))
}
