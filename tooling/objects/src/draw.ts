// A contact sheet of objects with some of their grasps, and of tables, to look for what is misoriented, floating or silly:
// build:objects, then node … src/draw.ts FILE.png [ID …]

import { writeFileSync } from 'node:fs'
import { rngKey } from '@ditkit/core'
import { loadObjects } from '../../../apps/train/src/data/objects/objects'
import { composeTabletop, sampleTabletop, tabletopGrasps } from '../../../apps/train/src/data/objects/tabletop'
import { type SceneView, sceneViewsPng } from '../../../apps/train/src/report/scene-view'

const POINTS = 2500
const GRASPS = 6
const TABLES = 4
const COLORS = ['#c0504d', '#2f8f6f', '#7a5195', '#3572be', '#b58900']
const key = rngKey(0x4452_4157)

const [file, ...ids] = process.argv.slice(2)
if (!file) throw new Error('name the PNG to write')
const all = loadObjects()
const chosen = ids.length > 0 ? all.filter(({ id }) => ids.includes(id)) : all
const scenes: SceneView[] = chosen.map(object => ({
  title: `${object.text} (${object.grasps.length})`,
  ...object.sample(POINTS, key),
  grasps: object.grasps.slice(0, GRASPS).map((pose, i) => ({ pose, color: COLORS[i % COLORS.length] })),
}))
for (let i = 0; i < TABLES; i++) {
  const placed = composeTabletop(all, key.foldIn(i))
  const { points, normals, objects } = sampleTabletop(placed, POINTS, key)
  const grasps = tabletopGrasps(placed)
  scenes.push({
    title: placed.map(({ object }) => object.text).join(', '),
    points,
    normals,
    colors: Array.from(objects, object => COLORS[object % COLORS.length]),
    grasps: grasps
      .filter((_, g) => g % Math.ceil(grasps.length / 8) === 0)
      .map(({ pose, object }) => ({ pose, color: COLORS[object % COLORS.length] })),
  })
}
writeFileSync(file, await sceneViewsPng(scenes, 3))
