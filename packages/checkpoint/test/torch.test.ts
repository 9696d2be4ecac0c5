// What is written here as PyTorch and safetensors themselves read it; runs where python3 can import them.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parsePt, stateDict } from '../src'
import { openPt, writePt, writeSafetensors } from '../src/node'
import { fixtureBytes } from './fixtures'

const python = process.env.DITKIT_PYTHON ?? 'python3'

function missing(): string | undefined {
  try {
    execFileSync(python, ['-c', 'import torch, safetensors'], { stdio: 'pipe' })
    return undefined
  } catch {
    return `${python} cannot import torch and safetensors (tooling/oracle/README.md says how to install them)`
  }
}

const reason = missing()
const run = (script: string, ...args: string[]) => execFileSync(python, ['-c', script, ...args], { encoding: 'utf8' })

describe('PyTorch opens what is written here', () => {
  test('every dtype and every kind of value, with weights_only=True, mapped into memory too', async ({ skip }) => {
    if (reason) skip(reason)
    const folder = mkdtempSync(join(tmpdir(), 'ditkit-torch-'))
    try {
      const original = stateDict(await parsePt(fixtureBytes('dtypes.pt')))
      const extra = {
        labels: { shape: [2], dtype: 'i64' as const, data: BigInt64Array.of(3n, 2n ** 40n) },
        scalar: { shape: [], dtype: 'f32' as const, data: Float32Array.of(1.5) },
        empty: { shape: [0, 3], dtype: 'f32' as const, data: new Float32Array() },
        plain: [null, true, 1, -300, 2 ** 40, 2n ** 80n, 0.5, 'grüße', [], {}, new Map([[1, 2]]), new Set([1, 2])],
      }
      await writePt(join(folder, 'out.pt'), { dtypes: original, ...extra })
      await writeSafetensors(
        join(folder, 'out.safetensors'),
        [...original].filter(([name]) => name !== 'c128'),
      )
      const script = `
import sys, torch, zipfile
from safetensors.torch import load_file
out, fixture, weights = sys.argv[1:]
assert zipfile.ZipFile(out).testzip() is None
want = torch.load(fixture, weights_only=True)
for mmap in (False, True):
    got = torch.load(out, weights_only=True, mmap=mmap)
    for name, tensor in want.items():
        assert got["dtypes"][name].dtype == tensor.dtype, name
        assert got["dtypes"][name].view(torch.uint8).equal(tensor.view(torch.uint8)), name
    assert got["labels"].tolist() == [3, 2**40] and got["labels"].dtype == torch.int64
    assert got["scalar"].shape == () and got["scalar"].item() == 1.5
    assert got["empty"].shape == (0, 3)
    assert got["plain"] == [None, True, 1, -300, 2**40, 2**80, 0.5, "grüße", [], {}, {1: 2}, {1, 2}]
loaded = load_file(weights)
for name, tensor in want.items():
    if name != "c128":
        assert loaded[name].dtype == tensor.dtype, name
        assert loaded[name].view(torch.uint8).equal(tensor.view(torch.uint8)), name
print("ok")
`
      const fixture = new URL('./fixtures/dtypes.pt', import.meta.url).pathname
      expect(run(script, join(folder, 'out.pt'), fixture, join(folder, 'out.safetensors')).trim()).toBe('ok')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('a file that PyTorch has just written reads the same here', async ({ skip }) => {
    if (reason) skip(reason)
    const folder = mkdtempSync(join(tmpdir(), 'ditkit-torch-'))
    try {
      const path = join(folder, 'random.pt')
      const script =
        'import sys, torch; t = torch.randn(3, 4).t(); torch.save({"t": t}, sys.argv[1]); print(t.flatten().tolist())'
      const want = JSON.parse(run(script, path)) as number[]
      await using file = await openPt(path)
      expect([...((await stateDict(file.value).get('t')!.read()).data as Float32Array)]).toEqual(want)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
