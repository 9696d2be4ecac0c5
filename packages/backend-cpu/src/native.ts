// Finds and loads the native addon, and says what is wrong when it cannot be. Nothing is loaded before `cpu()` asks.

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** [kind, site, index, position, bound, message] */
export type NativeFault = readonly [number, number, number, number, number, string]

/** One device of the addon. Every call checks its arguments and throws an Error for what is not valid. */
export interface NativeDevice {
  /** Commands are written here, then `submit` reads them. */
  readonly commands: Float64Array
  submit(count: number): void
  alloc(bytes: number): number
  free(handle: number): void
  write(handle: number, byteOffset: number, data: Uint8Array): void
  read(handle: number, byteOffset: number, bytes: number, id: number): void
  sync(id: number): void
  program(numbers: Float64Array): number
  memory(): [live: number, peak: number, cached: number, workspace: number]
  trim(): void
  dispose(): void
}

export type Completed = (id: number, buffer: ArrayBuffer | undefined, fault: NativeFault | undefined) => void

export interface NativeAddon {
  createDevice(threads: number, isa: string, memoryLimit: number, complete: Completed): NativeDevice
  /** Instruction sets of this machine, best last. */
  describe(): string[]
  /** GFLOP/s of independent multiply-add chains; blocks for about 40 ms. */
  fmaPeak(threads: number, isa: string): number
  /** What bf16 products take here with the kernels of `isa`; undefined where they are emulated. */
  bf16Instruction(isa: string): string | undefined
}

// This file is src/native.ts in the repository and dist/index.js when built: the package is one folder up from both.
const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')

/** Where the addon for this platform and processor is. */
export const addonPath = path.join(packageRoot, 'dist', 'native', `ditkit_cpu-${process.platform}-${process.arch}.node`)

export const buildCommand = `node "${path.join(packageRoot, 'scripts', 'build-native.mjs')}"`

/** What the build script noted about the addon. */
export function buildInfo(): { compiler: string; target: string } | undefined {
  try {
    return JSON.parse(readFileSync(path.join(path.dirname(addonPath), 'build.json'), 'utf8'))
  } catch {
    return undefined
  }
}

/** Loads the addon. Throws an Error with the reason and the way out. */
export function loadAddon(file: string = addonPath): NativeAddon {
  if (!existsSync(file)) {
    throw new Error(
      `cpu: the native addon for ${process.platform}-${process.arch} is not built (${file} is missing). ` +
        `Build it with: ${buildCommand} (it needs a C++17 compiler: g++ or clang++)`,
    )
  }
  try {
    return createRequire(import.meta.url)(file)
  } catch (error) {
    throw new Error(
      `cpu: the native addon ${file} does not load: ${(error as Error).message}. Build it for this system with: ${buildCommand}`,
      { cause: error },
    )
  }
}
