import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rngKey } from '@ditkit/core'
import sharp from 'sharp'
import { afterAll, describe, expect, it } from 'vitest'
import { idx, writeMnist } from '../../test/idx-files'
import type { ImagesConfig } from '../config/schema'
import { loadBlobs } from './blobs'
import { flipSome } from './flip'
import { loadImages } from './images'
import { loadMnist, readMnist } from './mnist'
import { DataOrder } from './order'
import { shiftSome } from './shift'

const root = mkdtempSync(join(tmpdir(), 'ditkit-data-'))
afterAll(() => rmSync(root, { recursive: true }))

let folders = 0
function folder(): string {
  const path = join(root, String(folders++))
  mkdirSync(path)
  return path
}

/** Ten 2 x 2 training images whose pixels are 10 i, and two test images. */
function tinyMnist(): string {
  const path = folder()
  const pixels = Array.from({ length: 10 }, (_, i) => [10 * i, 10 * i, 10 * i, 10 * i]).flat()
  const test = { pixels: [0, 0, 0, 0, 255, 255, 255, 255], labels: [0, 4] }
  writeMnist(path, { pixels, labels: [0, 1, 2, 3, 4, 0, 1, 2, 3, 4] }, test)
  return path
}

describe('MNIST', () => {
  it('of the npm package has 60,000 training and 10,000 test images of ten classes', () => {
    const { train, test, classes, size } = readMnist()
    expect([train.count, test.count, classes.length, size]).toEqual([60000, 10000, 10, 28])
    expect([...test.labels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4])
  })

  it('maps bytes to −1 … 1', () => {
    expect([...readMnist(tinyMnist()).test.read([1, 0]).images]).toEqual([1, 1, 1, 1, -1, -1, -1, -1])
  })

  it('holds out validation images that are then not trained on', () => {
    const path = tinyMnist()
    const { train, validation, classes } = loadMnist({ kind: 'mnist', folder: path, validation: 3 })
    const values = [train, validation].map(split =>
      split.read([...Array(split.count).keys()]).images.filter((_, i) => i % 4 === 0),
    )
    expect(classes).toEqual(['0', '1', '2', '3', '4'])
    expect(values[1]).toHaveLength(3)
    expect(new Set([...values[0], ...values[1]]).size).toBe(10)
  })

  it.each([
    ['is missing', (path: string) => rmSync(path), 'cannot be read'],
    [
      'is cut in its pixels',
      (path: string) => truncateSync(path, 30),
      'truncated: its header promises 10 x 2 x 2 = 40 bytes, 14 follow',
    ],
    ['is cut in its header', (path: string) => truncateSync(path, 7), 'truncated: 7 bytes'],
    ['has bytes behind its end', (path: string) => writeFileSync(path, idx([10, 2, 2], Array(41).fill(0))), 'too long'],
    ['is something else', (path: string) => writeFileSync(path, 'not an IDX file at all'), 'it starts with 0x6e6f7420'],
    [
      'is compressed',
      (path: string) => writeFileSync(path, Buffer.from([0x1f, 0x8b, 8, 0, ...Array(20).fill(0)])),
      'unpack it first',
    ],
    [
      'has too few images',
      (path: string) => writeFileSync(path, idx([9, 2, 2], Array(36).fill(0))),
      '9 train images but 10 labels',
    ],
    ['has oblong images', (path: string) => writeFileSync(path, idx([10, 1, 4], Array(40).fill(0))), '1 x 4 images'],
  ])('says so when a file %s', (_, damage, message) => {
    const path = tinyMnist()
    damage(join(path, 'train-images-idx3-ubyte'))
    expect(() => readMnist(path)).toThrow(message)
    expect(() => readMnist(path)).toThrow(path)
  })

  it('refuses to hold out everything', () => {
    expect(() => loadMnist({ kind: 'mnist', folder: tinyMnist(), validation: 10 })).toThrow('only 10 training images')
  })
})

describe('blobs', () => {
  it('are the same at every load, differ from each other, and fill −1 … 1', () => {
    const config = { kind: 'blobs' as const, size: 16, images: 20, validation: 4 }
    const first = loadBlobs(config)
    expect(loadBlobs(config).train.fingerprint()).toBe(first.train.fingerprint())
    const { images } = first.train.read([...Array(20).keys()])
    const rows = new Set(Array.from({ length: 20 }, (_, i) => images.subarray(256 * i, 256 * (i + 1)).join()))
    expect(rows.size).toBe(20)
    expect(Math.min(...images)).toBeGreaterThanOrEqual(-1)
    expect(Math.max(...images)).toBeGreaterThan(0.8)
    expect(first.validation.fingerprint()).not.toBe(first.train.fingerprint())
  })
})

describe('a folder of images', () => {
  const config = (path: string, more: Partial<ImagesConfig> = {}): ImagesConfig => ({
    kind: 'images',
    folder: path,
    size: 8,
    channels: 3,
    flip: false,
    validation: 0,
    skip_broken: false,
    ...more,
  })
  const paint = (background: string, width = 12, height = 12) =>
    sharp({ create: { width, height, channels: 3, background } })
  const quiet = () => {
    throw new Error('nothing should be skipped')
  }

  it('is read in PNG, JPEG and WebP, with its subfolders as classes', async () => {
    const path = folder()
    for (const name of ['red', 'blue']) mkdirSync(join(path, name))
    await paint('#f00')
      .png()
      .toFile(join(path, 'red', 'a.png'))
    await paint('#f00')
      .jpeg({ quality: 100 })
      .toFile(join(path, 'red', 'b.JPEG'))
    await paint('#00f')
      .webp({ lossless: true })
      .toFile(join(path, 'blue', 'c.webp'))
    const { classes, train, size, channels } = await loadImages(config(path), quiet)
    expect({ classes, size, channels, labels: [...train.labels] }).toEqual({
      classes: ['blue', 'red'],
      size: 8,
      channels: 3,
      labels: [0, 1, 1],
    })
    const { images } = train.read([0, 1])
    const planes = Array.from({ length: 6 }, (_, plane) => images[plane * 64 + 30])
    expect(planes).toEqual([-1, -1, 1, 1, -1, -1])
  })

  it('is resized to cover the square and cropped to its centre', async () => {
    const path = folder()
    const middle = await paint('#fff', 12, 12).png().toBuffer()
    await paint('#000', 36, 12)
      .composite([{ input: middle, left: 12, top: 0 }])
      .png()
      .toFile(join(path, 'wide.png'))
    const { train } = await loadImages(config(path, { channels: 1 }), quiet)
    const { images } = train.read([0])
    expect(images).toHaveLength(64)
    expect(Math.min(...images.filter((_, i) => i % 8 > 0 && i % 8 < 7))).toBeGreaterThan(0.9)
  })

  it('holds out a share of each class', async () => {
    const path = folder()
    for (const name of ['a', 'b']) {
      mkdirSync(join(path, name))
      for (let i = 0; i < 4; i++)
        await paint(`rgb(${40 * i}, 0, 0)`)
          .png()
          .toFile(join(path, name, `${i}.png`))
    }
    const { train, validation } = await loadImages(config(path, { validation: 0.25 }), quiet)
    expect([[...train.labels].sort(), [...validation.labels].sort()]).toEqual([
      [0, 0, 0, 1, 1, 1],
      [0, 1],
    ])
  })

  it('names a broken file, and skips it only when asked', async () => {
    const path = folder()
    await paint('#123').png().toFile(join(path, 'fine.png'))
    const whole = await sharp({
      create: {
        width: 64,
        height: 64,
        channels: 3,
        background: '#777',
        noise: { type: 'gaussian', mean: 128, sigma: 50 },
      },
    })
      .png()
      .toBuffer()
    writeFileSync(join(path, 'cut.png'), whole.subarray(0, whole.length / 2))
    writeFileSync(join(path, 'text.jpg'), 'not an image')
    await expect(loadImages(config(path), quiet)).rejects.toThrow(
      /image .*(cut\.png|text\.jpg) cannot be read.*data\.skip_broken=true/,
    )
    const skipped: string[] = []
    const { train } = await loadImages(config(path, { skip_broken: true }), line => skipped.push(line))
    expect(train.count).toBe(1)
    expect(skipped.sort().map(line => line.match(/(cut\.png|text\.jpg)/)?.[0])).toEqual(['cut.png', 'text.jpg'])
  })

  it.each([
    ['does not exist', () => join(root, 'nowhere'), 'is not a folder'],
    ['holds no images', folder, 'holds no .png'],
  ])('says so when it %s', async (_, make, message) => {
    await expect(loadImages(config(make()), quiet)).rejects.toThrow(message)
  })

  it('says so when some images are in class folders and some are not', async () => {
    const path = folder()
    mkdirSync(join(path, 'cats'))
    await paint('#123')
      .png()
      .toFile(join(path, 'cats', '1.png'))
    await paint('#123').png().toFile(join(path, 'stray.png'))
    await expect(loadImages(config(path), quiet)).rejects.toThrow('stray.png')
  })
})

describe('data order', () => {
  it('reads every image once an epoch, in another order each time', () => {
    const order = new DataOrder(rngKey(5), 10)
    const epochs = [0, 10, 20].map(start => [...order.read(start, 10)])
    for (const epoch of epochs) expect([...epoch].sort()).toEqual([...Array(10).keys()])
    expect(new Set(epochs.map(String)).size).toBe(3)
  })

  it('is a function of the position alone, across epoch ends', () => {
    const whole = new DataOrder(rngKey(5), 7).read(0, 30)
    for (const start of [0, 3, 6, 13, 20])
      expect([...new DataOrder(rngKey(5), 7).read(start, 9)]).toEqual([...whole.slice(start, start + 9)])
  })
})

describe('augmentation', () => {
  it('mirrors about half of the images, by key', () => {
    const make = () => Float32Array.from({ length: 200 * 4 }, (_, i) => i % 4)
    const images = make()
    flipSome(images, 200, 2, rngKey(1))
    const again = make()
    flipSome(again, 200, 2, rngKey(1))
    expect(again).toEqual(images)
    const kinds = Array.from({ length: 200 }, (_, i) => images.subarray(4 * i, 4 * i + 4).join())
    expect(new Set(kinds)).toEqual(new Set(['0,1,2,3', '1,0,3,2']))
    expect(kinds.filter(kind => kind === '1,0,3,2').length).toBeGreaterThan(70)
    expect(kinds.filter(kind => kind === '1,0,3,2').length).toBeLessThan(130)
  })

  it('shifts by whole pixels and fills with −1', () => {
    const images = new Float32Array(300 * 25).fill(-1)
    for (let i = 0; i < 300; i++) images[25 * i + 12] = 1
    shiftSome(images, 300, 5, 2, rngKey(1))
    const places = Array.from({ length: 300 }, (_, i) => images.subarray(25 * i, 25 * i + 25).indexOf(1))
    expect(new Set(places).size).toBe(25)
    expect(images.filter(value => value === 1)).toHaveLength(300)
    expect(images.filter(value => value === -1)).toHaveLength(300 * 24)
  })
})
