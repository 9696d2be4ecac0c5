// Drawn or derived grasps as files: a .pt for PyTorch, and a PNG that shows points and grippers from two views.

import { writeFileAtomic, writePt } from '@ditkit/checkpoint/node'
import type { Scene } from '@ditkit/scene-collate'
import { POSE_SIZE, readPose } from '../grasp/pose'
import { sceneViewsPng } from './scene-view'

/** Scenes in a picture at most, and grasps in each. */
const SHOWN = 8
const GRASPS = 12
const COLUMNS = 2
const COLORS = ['#1f5fa8', '#b5482f', '#2f7d4f', '#8a5a9e']

/**
 * Writes PATH.pt, a dict of `samples` f32 [N, G, 10] in metres (position, approach, closing axis, width); and PATH.png with the first scenes.
 * @param poses of each scene, [G, 10]
 * @param frame of a user's own cloud, [4, 4]: what takes places (x, y, z, 1) of the file to those of the poses; written beside them
 */
export async function writeGrasps(
  path: string,
  scenes: readonly Scene[],
  poses: readonly Float32Array[],
  frame?: Float32Array,
): Promise<void> {
  const count = (poses[0]?.length ?? 0) / POSE_SIZE
  const samples = new Float32Array(poses.length * count * POSE_SIZE)
  for (const [i, each] of poses.entries()) samples.set(each, i * count * POSE_SIZE)
  await writePt(`${path}.pt`, {
    samples: { shape: [poses.length, count, POSE_SIZE], dtype: 'f32', data: samples },
    ...(frame && { frame: { shape: [4, 4], dtype: 'f32', data: frame } }),
  })
  const views = scenes.slice(0, SHOWN).map((scene, i) => ({
    title: scene.texts?.object ?? scene.name ?? '',
    points: scene.points,
    normals: scene.fields?.normals?.data as Float32Array,
    grasps: Array.from({ length: Math.min(count, GRASPS) }, (_, g) => ({
      pose: readPose(poses[i], g * POSE_SIZE),
      color: COLORS[g % COLORS.length],
    })),
  }))
  await writeFileAtomic(`${path}.png`, await sceneViewsPng(views, Math.min(COLUMNS, views.length)))
}
