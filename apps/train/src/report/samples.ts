// A set of images as files: all of them in a .pt for PyTorch, a choice of them in a PNG for people.

import type { PtInput } from '@ditkit/checkpoint'
import { writeFileAtomic, writePt } from '@ditkit/checkpoint/node'
import { type GridLayout, gridPng, type Images, squareLayout } from './grid'

/** Most images in a PNG. */
const SHOWN = 100
/** Up to so many images stand side by side. */
const ONE_ROW = 10

/**
 * Writes PATH.pt, a dict of `samples` f32 [N, C, H, W] in [−1, 1] and, where there are classes, `labels` i64 [N]; and
 * PATH.png, one row per class when at most ten classes allow it.
 */
export async function writeSamples(path: string, images: Images, labels: Int32Array | undefined): Promise<void> {
  const clamped = images.data.map(value => Math.min(1, Math.max(-1, value)))
  const content: Record<string, PtInput> = { samples: { shape: images.shape, dtype: 'f32', data: clamped } }
  if (labels) content.labels = { shape: [labels.length], dtype: 'i64', data: BigInt64Array.from(labels, BigInt) }
  await writePt(`${path}.pt`, content)
  const { indices, layout } = chooseShown(images.shape[0], labels)
  await writeFileAtomic(`${path}.png`, await gridPng(pick(images, indices), layout))
}

/**
 * Which images a picture shows, and how: a row per class where there are enough of each, a few in one row as they come, else a square of
 * images spread over all.
 */
export function chooseShown(
  count: number,
  labels: Int32Array | undefined,
  most = SHOWN,
): { indices: number[]; layout: GridLayout } {
  const classes = [...new Set(labels)]
  if (labels && classes.length > 1 && classes.length ** 2 <= most) {
    const members = classes.map(label => [...labels.keys()].filter(i => labels[i] === label))
    const columns = Math.min(Math.floor(Math.sqrt(most)), ...members.map(m => m.length))
    if (2 * columns >= classes.length) {
      return { indices: members.flatMap(m => m.slice(0, columns)), layout: { columns, rows: classes.length } }
    }
  }
  if (count <= ONE_ROW)
    return { indices: Array.from({ length: count }, (_, i) => i), layout: { columns: count, rows: 1 } }
  const shown = Math.min(count, most)
  return {
    indices: Array.from({ length: shown }, (_, i) => Math.floor((i * count) / shown)),
    layout: squareLayout(shown),
  }
}

/** The images at `indices`. */
export function pick({ data, shape }: Images, indices: readonly number[]): Images {
  const [, channels, height, width] = shape
  const pixels = channels * height * width
  const picked = new Float32Array(indices.length * pixels)
  for (const [at, index] of indices.entries())
    picked.set(data.subarray(index * pixels, (index + 1) * pixels), at * pixels)
  return { data: picked, shape: [indices.length, channels, height, width] }
}
