import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CheckpointError } from '@ditkit/checkpoint'
import * as files from '@ditkit/checkpoint/node'
import { afterAll, expect, it, vi } from 'vitest'
import { UserError } from '../errors'
import { writeResult } from './write-result'

vi.mock('@ditkit/checkpoint/node', { spy: true })

const root = mkdtempSync(join(tmpdir(), 'ditkit-result-'))
const print = vi.spyOn(console, 'log').mockImplementation(() => {})
afterAll(() => {
  print.mockRestore()
  rmSync(root, { recursive: true })
})

const metrics = join(root, 'output', 'dit_metrics')

it('a result is written among the metrics, in the place of an older one, and told where', async () => {
  for (const holds of [0.5, 0.625]) {
    const result = { run: 'grasp', holds, objects: [{ id: 'cup' }] }
    await writeResult(root, result)
    expect(readdirSync(metrics)).toEqual(['evaluation.json'])
    const text = readFileSync(join(metrics, 'evaluation.json'), 'utf8')
    expect(JSON.parse(text)).toEqual(result)
    expect(text.endsWith('}\n')).toBe(true)
  }
  expect(print).toHaveBeenLastCalledWith(`Written to ${join(metrics, 'evaluation.json')}`)
})

it('a full disk, or a folder that cannot be, is an error that names the file; nothing is said to be written', async () => {
  print.mockClear()
  const cause = Object.assign(new Error('write'), { code: 'ENOSPC' })
  vi.mocked(files.writeFileAtomic).mockRejectedValueOnce(new CheckpointError('cannot write', { cause }))
  const full = writeResult(root, { run: 'grasp' })
  await expect(full).rejects.toThrow(UserError)
  await expect(full).rejects.toThrow(/no space left to write .*evaluation\.json \(ENOSPC\)/)
  const file = join(root, 'file')
  writeFileSync(file, '')
  const blocked = writeResult(file, { run: 'grasp' })
  await expect(blocked).rejects.toThrow(UserError)
  await expect(blocked).rejects.toThrow(/evaluation\.json cannot be written: .*ENOTDIR/)
  expect(print).not.toHaveBeenCalled()
})
