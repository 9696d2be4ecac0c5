// Found or true boxes as files: a .pt for PyTorch, and a PNG that shows points and boxes from two views.

import { writeFileAtomic, writePt } from '@ditkit/checkpoint/node'
import type { DetectScene } from '../detect/scenes'
import type { Found } from '../detect/score'
import { sceneViewsPng } from './scene-view'

/** Scenes in a picture at most. */
const SHOWN = 8
const COLUMNS = 2
/** Of the categories, in their order; the objects that are there are grey. */
const COLORS = [
  '#1f5fa8',
  '#b5482f',
  '#2f7d4f',
  '#8a5a9e',
  '#c98a1b',
  '#2a9d9d',
  '#c2417c',
  '#6b6b1f',
  '#4a4ad1',
  '#7a4b26',
]
const TRUE_COLOR = '#a9adb3'
/** Numbers of a box in the file. */
const WIDTH = 9

/**
 * Writes PATH.pt, a dict of `samples` f32 [N, K, 9] (centre x, y, z and lengths in metres, yaw in radians, index of the category, confidence;
 * rows of zeros with category −1 fill up); and PATH.png with the first scenes, of each as many boxes as there are objects.
 * @param found of each scene, most confident first
 * @param titles of each scene, in the picture
 */
export async function writeBoxes(
  path: string,
  scenes: readonly DetectScene[],
  found: readonly (readonly Found[])[],
  titles: readonly string[],
): Promise<void> {
  const most = Math.max(0, ...found.map(boxes => boxes.length))
  const samples = new Float32Array(found.length * most * WIDTH)
  for (let row = 0; row < found.length * most; row++) {
    const item = found[Math.floor(row / most)][row % most]
    if (item) {
      const { center, size, yaw, category } = item.box
      samples.set([...center, ...size, yaw, category, item.confidence], row * WIDTH)
    } else samples[row * WIDTH + 7] = -1
  }
  await writePt(`${path}.pt`, { samples: { shape: [found.length, most, WIDTH], dtype: 'f32', data: samples } })
  const views = scenes.slice(0, SHOWN).map((scene, i) => ({
    title: titles[i],
    points: scene.points,
    boxes: [
      ...scene.boxes.map(box => ({ box, color: TRUE_COLOR })),
      ...found[i].slice(0, scene.boxes.length).map(({ box }) => ({ box, color: COLORS[box.category % COLORS.length] })),
    ],
  }))
  await writeFileAtomic(`${path}.png`, await sceneViewsPng(views, COLUMNS))
}
