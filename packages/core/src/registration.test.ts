import { expect, it } from 'vitest'
import './registration'

it('a second copy of core throws, naming both, also where a bundler gave them one path', async () => {
  // A query makes Vite evaluate the module again; `import.meta.url` without it would be the same.
  const again: Promise<unknown> = import('./registration?again' as string)
  await expect(again).rejects.toThrow(/two copies of @ditkit\/core[\s\S]*registration[\s\S]*registration[\s\S]*dedupe/)
})
