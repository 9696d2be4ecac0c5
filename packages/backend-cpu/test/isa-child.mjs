// What an addon says of the processor it runs on, and which instruction sets it lets be used: `node isa-child.mjs ADDON`.
import { createRequire } from 'node:module'

const addon = createRequire(import.meta.url)(process.argv[2])
const outcome = {}
for (const isa of ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx']) {
  try {
    addon.createDevice(1, isa, 2 ** 30, () => {}).dispose()
    outcome[isa] = 'opened'
  } catch (error) {
    outcome[isa] = error.message
  }
}
console.log(JSON.stringify({ sets: addon.describe(), outcome }))
