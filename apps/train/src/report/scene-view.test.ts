import { rngKey } from '@ditkit/core'
import { sampleSurface } from '@ditkit/scene-collate'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { boxMesh } from '../../test/shapes'
import { poseFromAxes } from '../grasp/pose'
import { type SceneView, sceneViewsPng } from './scene-view'

const points = sampleSurface(boxMesh(0.05, 0.1, 0.06), 400, rngKey(1)).points
const pose = poseFromAxes([0, 0, 0.05], [0, 0, -1], [1, 0, 0], 0.08)

async function pixels(scene: SceneView) {
  const { data, info } = await sharp(await sceneViewsPng([scene], 1))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const count = (match: (r: number, g: number, b: number) => boolean, from: number, to: number) => {
    let found = 0
    for (let y = 0; y < info.height; y++)
      for (let x = from; x < to; x++) {
        const at = (y * info.width + x) * 3
        if (match(data[at], data[at + 1], data[at + 2])) found++
      }
    return found
  }
  return {
    ...info,
    data,
    left: (m: Parameters<typeof count>[0]) => count(m, 0, info.width / 2),
    right: (m: Parameters<typeof count>[0]) => count(m, info.width / 2, info.width),
  }
}

const red = (r: number, g: number, b: number) => r > 150 && g < 110 && b < 110
const green = (r: number, g: number, b: number) => g > 120 && r < 90 && b < 90

test('both views show points in their colours and grippers in theirs', async () => {
  const drawn = await pixels({ title: 'a box', points, colors: '#00a000', grasps: [{ pose, color: '#ff0000' }] })
  expect([drawn.left(red), drawn.right(red), drawn.left(green), drawn.right(green)].every(count => count > 100)).toBe(
    true,
  )
  const plain = await pixels({ title: 'a box', points, colors: '#00a000' })
  expect(plain.left(red) + plain.right(red)).toBe(0)
})

test('the table is shown whole: nothing of it reaches the edge of the picture', async () => {
  const flat = points.map((value, i) => (i % 3 === 1 ? 9 * value : value))
  const { width, height, data } = await pixels({ title: '', points: flat })
  const table = (x: number, y: number) => data[(y * width + x) * 3 + 2] < 250
  for (let y = 34; y < height; y++)
    for (const x of [0, width / 2 - 1, width / 2, width - 1]) expect(table(x, y)).toBe(false)
  for (let x = 0; x < width; x++) expect(table(x, height - 1)).toBe(false)
})

test('an empty cloud is an empty cell', async () => {
  const drawn = await pixels({ title: '', points: new Float32Array() })
  expect(drawn.left((r, g, b) => r < 250 || g < 250 || b < 250)).toBe(0)
})
