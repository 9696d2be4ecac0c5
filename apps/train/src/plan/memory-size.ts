// Amounts of memory as people write them.

import { UserError } from '../errors'

const UNITS: Record<string, number> = {
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

/** `8GB`, `512 MiB`: bytes. */
export function parseMemory(text: string): number {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b)\s*$/i.exec(text) ?? []
  const bytes = Number(number) * UNITS[unit?.toLowerCase()]
  if (!(bytes > 0))
    throw new UserError(`--memory ${JSON.stringify(text)} is no amount of memory (expected 8GB, 512MiB and the like)`)
  return bytes
}

/** 273 MB, -1.57 GB. */
export function showBytes(bytes: number): string {
  const size = Math.abs(bytes)
  const unit = ['TB', 'GB', 'MB', 'kB'].find(name => size >= UNITS[name.toLowerCase()])
  if (!unit) return `${bytes} B`
  const value = bytes / UNITS[unit.toLowerCase()]
  return `${size >= 100 * UNITS[unit.toLowerCase()] ? value.toFixed(0) : value.toPrecision(3)} ${unit}`
}
