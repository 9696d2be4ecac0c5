// Pictures from tensors: grids of images in [−1, 1], enlarged without smoothing, and animations of such grids.

import sharp from 'sharp'

export interface Images {
  /** [N, C, H, W] in [−1, 1], C 1 or 3; values outside are clamped. */
  readonly data: Float32Array
  readonly shape: readonly [number, number, number, number]
}

export interface GridLayout {
  readonly columns: number
  readonly rows: number
}

interface Bitmap {
  data: Buffer
  width: number
  height: number
}

/** A grid's longer side has at least this many pixels; an animation, of many grids, fewer. */
const PICTURE_PIXELS = 800
const ANIMATION_PIXELS = 400
const GROUND = 56

/** `count` images in as square a grid as there is. */
export function squareLayout(count: number): GridLayout {
  const columns = Math.ceil(Math.sqrt(count))
  return { columns, rows: Math.ceil(count / columns) }
}

/** A PNG of the first columns x rows images, row by row. */
export async function gridPng(images: Images, layout: GridLayout): Promise<Buffer> {
  const { data, width, height } = drawGrid(images, layout, PICTURE_PIXELS)
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 9 })
    .toBuffer()
}

/**
 * An animation that loops, one grid per frame, the last one held for two seconds.
 * @param format 'gif' or 'webp' (lossless)
 */
export async function gridAnimation(
  frames: readonly Images[],
  layout: GridLayout,
  format: 'gif' | 'webp',
): Promise<Buffer> {
  const bitmaps = frames.map(frame => drawGrid(frame, layout, ANIMATION_PIXELS))
  const { width, height } = bitmaps[0]
  const raw = { width, height: height * bitmaps.length, channels: 3 as const, pageHeight: height }
  const delay = bitmaps.map((_, i) => (i === bitmaps.length - 1 ? 2000 : 80))
  const animation = sharp(Buffer.concat(bitmaps.map(b => b.data)), { raw })
  return format === 'gif'
    ? animation.gif({ delay, loop: 0, effort: 4, dither: 0 }).toBuffer()
    : animation.webp({ delay, loop: 0, lossless: true }).toBuffer()
}

/** RGB pixels: images separated by thin lines; cells without an image keep the ground's grey. */
function drawGrid({ data, shape }: Images, { columns, rows }: GridLayout, readable: number): Bitmap {
  const [count, channels, height, width] = shape
  const scale = Math.max(1, Math.ceil(readable / (Math.max(columns, rows) * height)))
  const gap = Math.max(1, Math.round(scale / 2))
  const gridWidth = columns * (width * scale + gap) + gap
  const gridHeight = rows * (height * scale + gap) + gap
  const pixels = Buffer.alloc(gridWidth * gridHeight * 3, GROUND)
  for (let cell = 0; cell < Math.min(count, columns * rows); cell++) {
    const left = gap + (cell % columns) * (width * scale + gap)
    const top = gap + Math.floor(cell / columns) * (height * scale + gap)
    for (let y = 0; y < height * scale; y++) {
      for (let x = 0; x < width * scale; x++) {
        const at = ((top + y) * gridWidth + left + x) * 3
        for (let c = 0; c < 3; c++) {
          const plane = cell * channels + Math.min(c, channels - 1)
          pixels[at + c] = byteOf(data[(plane * height + Math.floor(y / scale)) * width + Math.floor(x / scale)])
        }
      }
    }
  }
  return { data: pixels, width: gridWidth, height: gridHeight }
}

const byteOf = (value: number) => Math.round(Math.min(1, Math.max(0, (value + 1) / 2)) * 255)
