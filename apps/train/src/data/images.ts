// A user's own folder of PNG, JPEG and WebP images, decoded once into memory.

import { readdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { extname, join, relative, sep } from 'node:path'
import { permutation, type RngKey, rngKey } from '@ditkit/core'
import sharp from 'sharp'
import type { ImagesConfig } from '../config/schema'
import { messageOf, UserError } from '../errors'
import { type Dataset, ImageSplit } from './dataset'

const EXTENSIONS = new Set(['.png', '.jpg', '.jpeg', '.webp'])
const SPLIT_KEY = rngKey(0x494d_4753)

/** Decodes the folder. `warn` is told about every file that `skip_broken` leaves out. */
export async function loadImages(config: ImagesConfig, warn: (line: string) => void): Promise<Dataset> {
  const files = listImages(config.folder)
  const decoded = await decodeAll(files, config, warn)
  const kept = files.filter((_, i) => decoded[i])
  if (kept.length === 0)
    throw new UserError(`data.folder ${config.folder}: none of its ${files.length} images can be read`)
  const { classes, labels } = classesOf(kept, config.folder)
  const pixelsPerImage = config.channels * config.size * config.size
  const pixels = new Uint8Array(kept.length * pixelsPerImage)
  for (const [i, image] of decoded.filter(image => image !== undefined).entries()) pixels.set(image, i * pixelsPerImage)
  const all = new ImageSplit(pixels, labels, pixelsPerImage)
  const { train, validation } = splitByClass(labels, config.validation)
  return {
    channels: config.channels,
    size: config.size,
    classes,
    flip: config.flip,
    train: all.select(train),
    validation: all.select(validation),
  }
}

/** What `loadImages` would find, without decoding a file: the classes, and how many images. */
export function surveyImages({ folder }: ImagesConfig): { classes: readonly string[]; count: number } {
  const files = listImages(folder)
  return { classes: classesOf(files, folder).classes, count: files.length }
}

/** All image files at any depth, in an order that does not depend on the file system. */
function listImages(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UserError(`data.folder ${folder} is not a folder; say data.folder=PATH with the folder of your images`)
  }
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.name.startsWith('.') && EXTENSIONS.has(extname(entry.name).toLowerCase()))
    .map(entry => join(entry.parentPath, entry.name))
  if (files.length === 0) throw new UserError(`data.folder ${folder} holds no .png, .jpg, .jpeg or .webp files`)
  return files.sort()
}

/** The direct subfolder a file lies in, or '' when it lies in the folder itself. */
function classOf(file: string, folder: string): string {
  const parts = relative(folder, file).split(sep)
  return parts.length > 1 ? parts[0] : ''
}

/** The classes that files lie in, and each file's; none when all lie in the folder itself. */
function classesOf(files: readonly string[], folder: string): { classes: string[]; labels: Int32Array } {
  const classes = [...new Set(files.map(file => classOf(file, folder)))].sort()
  const named = classes.length > 1 || classes[0] !== ''
  if (named && classes.includes('')) {
    const stray = files.find(file => classOf(file, folder) === '')
    throw new UserError(
      `data.folder ${folder} holds class subfolders and also ${stray}, which is in none of them: move it into one, or all images out`,
    )
  }
  const labels = Int32Array.from(files, file => classes.indexOf(classOf(file, folder)))
  return { classes: named ? classes : [], labels }
}

async function decodeAll(files: string[], config: ImagesConfig, warn: (line: string) => void) {
  const decoded = new Array<Uint8Array | undefined>(files.length)
  let next = 0
  const worker = async () => {
    while (next < files.length) {
      const index = next++
      const file = files[index]
      try {
        decoded[index] = await decode(file, config)
      } catch (error) {
        const reason = messageOf(error).split('\n')[0]
        if (!config.skip_broken) {
          throw new UserError(
            `image ${file} cannot be read: ${reason}; repair or remove it, or say data.skip_broken=true`,
          )
        }
        warn(`skipped ${file}: ${reason}`)
      }
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  return decoded
}

/** [C, H, W] bytes: upright, resized to cover the square, cropped to its centre, transparency on black. */
async function decode(file: string, { size, channels }: ImagesConfig): Promise<Uint8Array> {
  const image = sharp(file, { failOn: 'error' })
    .rotate()
    .resize(size, size, { fit: 'cover', kernel: 'lanczos3' })
    .flatten({ background: '#000' })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true })
  const planes = new Uint8Array(channels * size * size)
  for (let p = 0; p < size * size; p++) {
    for (let c = 0; c < channels; c++)
      planes[c * size * size + p] = data[p * info.channels + Math.min(c, info.channels - 1)]
  }
  return planes
}

/** Holds out `share` of every class, but never its only image. */
function splitByClass(labels: Int32Array, share: number) {
  const train: number[] = []
  const validation: number[] = []
  for (const label of new Set(labels)) {
    const members = [...labels.keys()].filter(i => labels[i] === label)
    const order = permutation(classKey(label), members.length)
    const held = Math.min(Math.round(members.length * share), members.length - 1)
    for (const [i, at] of order.entries()) (i < held ? validation : train).push(members[at])
  }
  return { train: train.sort((a, b) => a - b), validation: validation.sort((a, b) => a - b) }
}

const classKey = (label: number): RngKey => SPLIT_KEY.foldIn(label)
