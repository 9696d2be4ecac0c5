// Whether all numbers of an array are finite: what every scene is asked, so it runs at the speed of memory, as WebAssembly with SIMD.

/**
 * (func (param $at i32) (param $end i32) (result i32) (local $seen v128)
 *   (loop
 *     (local.set $seen (v128.or (local.get $seen)
 *       (i32x4.add (v128.const i32x4 0x00800000 …) (v128.and (v128.load (local.get $at)) (v128.const i32x4 0x7fffffff …)))))
 *     (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
 *   (i32x4.bitmask (local.get $seen)))
 *
 * NaN and ±Infinity have an exponent of ones only: one more in the exponent's last place carries into the sign's.
 */
// biome-ignore format: one section, or one instruction of the loop, a line
const MODULE = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
  0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, // type (i32, i32) -> i32
  0x02, 0x08, 0x01, 0x01, 0x6d, 0x01, 0x6d, 0x02, 0x00, 0x01, // import memory m.m
  0x03, 0x02, 0x01, 0x00, // one function, of that type
  0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00, // export it as f
  0x0a, 0x4f, 0x01, 0x4d, 0x01, 0x01, 0x7b, // its code, with one v128 local
  0x03, 0x40, // loop
  0x20, 0x00, 0xfd, 0x00, 0x04, 0x00, // v128.load $at
  0xfd, 0x0c, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, // v128.const
  0xfd, 0x4e, // v128.and
  0xfd, 0x0c, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x80, 0x00, // v128.const
  0xfd, 0xae, 0x01, // i32x4.add
  0x20, 0x02, 0xfd, 0x50, 0x21, 0x02, // v128.or into $seen
  0x20, 0x00, 0x41, 0x10, 0x6a, 0x22, 0x00, // $at += 16
  0x20, 0x01, 0x49, 0x0d, 0x00, // again while $at < $end
  0x0b, // end of the loop
  0x20, 0x02, 0xfd, 0xa4, 0x01, 0x0b, // i32x4.bitmask of $seen
)

/** Numbers that stay in the first-level cache. */
const BLOCK = 4096
/** WebAssembly memory comes in pages of so many bytes. */
const PAGE = 1 << 16

const blockCheck = openBlockCheck()

/** True unless there is a NaN or ±Infinity. */
export function allFinite(data: Float32Array): boolean {
  if (!blockCheck) return everyFinite(data)
  const { block, anyNonFinite } = blockCheck
  for (let start = 0; start < data.length; start += BLOCK) {
    const length = Math.min(BLOCK, data.length - start)
    block.set(data.subarray(start, start + length))
    // Four numbers are checked at once.
    block.fill(0, length, length + 3)
    if (anyNonFinite(0, 4 * length) !== 0) return false
  }
  return true
}

/** The same without WebAssembly: x · 0 is NaN for NaN and ±Infinity, so a sum settles it without a branch per number. */
export function everyFinite(data: Float32Array): boolean {
  let sum = 0
  for (let i = 0; i < data.length; i++) sum += data[i] * 0
  return sum === 0
}

/** The check over blocks that are copied into its memory; undefined where a page forbids WebAssembly. */
export function openBlockCheck() {
  try {
    const memory = new WebAssembly.Memory({ initial: 1 })
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE), { m: { m: memory } })
    return {
      block: new Float32Array(memory.buffer, 0, PAGE / 4),
      anyNonFinite: exports.f as (at: number, end: number) => number,
    }
  } catch {
    return undefined
  }
}
