import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { fixturePath } from '../../test/fixtures'
import { CheckpointError, type PtValue, stateDict, type TensorInput } from '../index'
import {
  fileSource,
  openPt,
  openSafetensors,
  readSafetensors,
  writeFileAtomic,
  writePt,
  writeSafetensors,
} from '../node'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ditkit-checkpoint-'))
})
afterAll(() => rm(folder, { recursive: true }))

const f32 = (...values: number[]): TensorInput => ({
  shape: [values.length],
  dtype: 'f32',
  data: Float32Array.from(values),
})

describe('reading and writing files', () => {
  test('safetensors', async () => {
    const path = join(folder, 'a.safetensors')
    const written = await writeSafetensors(path, { w: f32(1, 2), b: f32() }, { metadata: { step: '3' } })
    const content = await readFile(path)
    expect(written).toEqual({ bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') })
    const weights = await readSafetensors(path)
    expect(weights.get('w')).toEqual({ shape: [2], dtype: 'f32', data: Float32Array.of(1, 2) })
    expect(weights.metadata.get('step')).toBe('3')
  })

  test('.pt', async () => {
    const path = join(folder, 'a.pt')
    const labels: TensorInput = { shape: [2], dtype: 'i64', data: BigInt64Array.of(3n, 4n) }
    await writePt(path, { samples: f32(1, 2), labels, epoch: 7 })
    await using file = await openPt(path)
    expect((file.value as Map<PtValue, PtValue>).get('epoch')).toBe(7)
    expect((await stateDict(file.value).get('labels')!.read()).data).toEqual(labels.data)
  })

  test('a handle reads nothing after it was closed', async () => {
    let leaked: Awaited<ReturnType<typeof openSafetensors>>
    {
      await using file = await openSafetensors(fixturePath('dtypes.safetensors'))
      expect((await file.read('f32')).shape).toEqual([2, 3])
      leaked = file
    }
    await expect(leaked.read('f32')).rejects.toThrow(CheckpointError)
  })

  test('a file converts to the other format without all of it in memory', async () => {
    await using file = await openPt(fixturePath('dtypes.pt'))
    const path = join(folder, 'converted.safetensors')
    await writeSafetensors(path, stateDict(file.value))
    const converted = await readSafetensors(path)
    expect(converted.get('i64')).toEqual(await stateDict(file.value).get('i64')!.read())
    expect(converted.size).toBe(17)
  })
})

describe('files that cannot be opened are refused by name', () => {
  test('missing', async () => {
    await expect(openPt(join(folder, 'none.pt'))).rejects.toThrow(/none\.pt: cannot open: there is no such file/)
    await expect(readSafetensors(join(folder, 'none'))).rejects.toThrow(CheckpointError)
  })

  test('a folder', async () => {
    await expect(openPt(folder)).rejects.toThrow(/is not a file/)
  })

  test('of the other format', async () => {
    await expect(openPt(fixturePath('dtypes.safetensors'))).rejects.toThrow(/is not a PyTorch zip file/)
    await expect(openSafetensors(fixturePath('dtypes.pt'))).rejects.toThrow(/not a safetensors file/)
  })

  test('cut short while open', async () => {
    const path = join(folder, 'cut.safetensors')
    const { bytes } = await writeSafetensors(path, { w: f32(1, 2, 3, 4) })
    await using file = await openSafetensors(path)
    await truncate(path, bytes - 4)
    await expect(file.read('w')).rejects.toThrow(/asked for 16 bytes at \d+, got 12/)
  })
})

describe('a write that fails leaves everything as it was', () => {
  const path = () => join(folder, 'atomic', 'model.safetensors')
  const withOldFile = async () => {
    await rm(join(folder, 'atomic'), { recursive: true, force: true })
    await mkdir(join(folder, 'atomic'))
    await writeFile(path(), 'old')
  }
  const expectUntouched = async () => {
    expect(await readdir(join(folder, 'atomic'))).toEqual(['model.safetensors'])
    expect(await readFile(path(), 'utf8')).toBe('old')
  }

  test('a full disk, noticed in the middle', async () => {
    await withOldFile()
    const handle = await open(path())
    const prototype = Object.getPrototypeOf(handle)
    await handle.close()
    const write = prototype.write
    let calls = 0
    const spy = vi.spyOn(prototype, 'write').mockImplementation(function (this: unknown, ...args: unknown[]) {
      if (++calls > 1) return Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }))
      return write.apply(this, args)
    })
    try {
      const attempt = writeSafetensors(path(), { w: f32(1, 2) })
      await expect(attempt).rejects.toThrow(
        /model\.safetensors: cannot write: the disk of .* is full.*nothing was changed/,
      )
      await expect(writeSafetensors(path(), { w: f32(1, 2) })).rejects.toThrow(CheckpointError)
    } finally {
      spy.mockRestore()
    }
    expect(calls).toBeGreaterThan(1)
    await expectUntouched()
  })

  test('a full disk, noticed only by fsync', async () => {
    await withOldFile()
    const handle = await open(path())
    const spy = vi.spyOn(Object.getPrototypeOf(handle), 'sync')
    await handle.close()
    spy.mockRejectedValue(Object.assign(new Error('quota'), { code: 'EDQUOT' }))
    try {
      await expect(writeFileAtomic(path(), 'new')).rejects.toThrow(/is full/)
    } finally {
      spy.mockRestore()
    }
    await expectUntouched()
  })

  test('a tensor that cannot be read when its turn comes', async () => {
    await withOldFile()
    const broken = { shape: [1], dtype: 'f32' as const, read: () => Promise.reject(new Error('device lost')) }
    await expect(writeSafetensors(path(), { a: f32(1), broken })).rejects.toThrow(/cannot write: device lost/)
    await expectUntouched()
  })

  test('a tensor that does not fit its shape', async () => {
    await withOldFile()
    const wrong = writeSafetensors(path(), { bad: { ...f32(1), shape: [2] } })
    await expect(wrong).rejects.toThrow(/model\.safetensors: tensor "bad": shape \[2\] needs 2/)
    await expect(writePt(path(), { bad: undefined as never })).rejects.toThrow(/"bad"/)
    await expectUntouched()
  })

  test('a folder that does not exist', async () => {
    await expect(writePt(join(folder, 'no', 'x.pt'), {})).rejects.toThrow(/folder .*no does not exist: create it first/)
  })
})

test('a write replaces the old file and leaves no temporary one', async () => {
  const inside = join(folder, 'replace')
  await mkdir(inside)
  await writeFileAtomic(join(inside, 'state.json'), '{"step":1}')
  await writeFileAtomic(join(inside, 'state.json'), '{"step":2}')
  expect(await readdir(inside)).toEqual(['state.json'])
  expect(await readFile(join(inside, 'state.json'), 'utf8')).toBe('{"step":2}')
})

test('a range longer than one system call allows is read in pieces', async () => {
  const path = join(folder, 'pieces')
  await writeFile(
    path,
    Uint8Array.from({ length: 1000 }, (_, i) => i),
  )
  await using source = await fileSource(path)
  const handle = await open(path)
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  const read = prototype.read
  // The system may return fewer bytes than asked for; so does Linux at 2 GiB.
  const spy = vi.spyOn(prototype, 'read').mockImplementation(function (this: unknown, ...args: unknown[]) {
    const [buffer, offset, length, position] = args as [Uint8Array, number, number, number]
    return read.call(this, buffer, offset, Math.min(length, 300), position)
  })
  try {
    expect([...(await source.read(10, 900))]).toEqual(Array.from({ length: 900 }, (_, i) => (i + 10) % 256))
    expect(spy).toHaveBeenCalledTimes(3)
  } finally {
    spy.mockRestore()
  }
})
