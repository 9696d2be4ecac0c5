// The catalogues of Debian's sweethome3d-furniture: zip files with one properties file and a mesh per piece.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { strFromU8, unzipSync } from 'fflate'

/** The catalogues that are used, with the licence of each. */
export const CATALOGUES = [
  { file: 'BlendSwap-CC-0.sh3f', licence: 'CC0-1.0' },
  { file: 'BlendSwap-CC-BY.sh3f', licence: 'CC-BY-3.0' },
  { file: 'Scopia.sh3f', licence: 'CC-BY-3.0' },
] as const

export interface Piece {
  /** Its name within the catalogue, such as 'beer_bottle'. */
  readonly id: string
  readonly catalogue: string
  readonly licence: (typeof CATALOGUES)[number]['licence']
  readonly name: string
  readonly category: string
  readonly author: string
  /** Title and address of the original, where its licence file says so. */
  readonly title: string | undefined
  readonly url: string | undefined
  /** Extents in metres along x, y (depth) and z (up). */
  readonly size: readonly [number, number, number]
  /** Row-major; applied to the mesh before anything else. */
  readonly rotation: readonly number[] | undefined
  /** Fitted to a wall, a ceiling or another piece. */
  readonly fixed: boolean
  /** The mesh, read when it is needed. */
  readonly obj: () => string
}

export function readCatalogues(folder: string): Piece[] {
  return CATALOGUES.flatMap(({ file, licence }) => {
    const files = unzipSync(readFileSync(join(folder, file)))
    const catalogue = file.replace('.sh3f', '')
    return parseProperties(strFromU8(files['PluginFurnitureCatalog.properties'], true)).map(entry => {
      const path = entry.model.replace(/^\//, '')
      const notice = files[path.replace(/[^/]*$/, 'BLENDSWAP_LICENSE.txt')]
      const { title, url } = parseNotice(notice ? strFromU8(notice, true) : '')
      return {
        id: entry.id.replace(/^.*#/, ''),
        catalogue,
        licence,
        name: entry.name,
        category: entry.category,
        author: entry.creator,
        title,
        url,
        size: [Number(entry.width) / 100, Number(entry.depth) / 100, Number(entry.height) / 100],
        rotation: entry.modelRotation?.trim().split(/\s+/).map(Number),
        fixed: entry.doorOrWindow === 'true' || entry.movable === 'false' || Number(entry.elevation ?? 0) > 0,
        obj: () => strFromU8(files[path], true),
      }
    })
  })
}

/** Lines `key#number=value`; values in Latin-1 with \uXXXX escapes, as Java writes them. */
function parseProperties(text: string): Record<string, string>[] {
  const entries = new Map<number, Record<string, string>>()
  for (const line of text.split(/\r?\n/)) {
    const match = /^(\w+)#(\d+)\s*=\s*(.*)$/.exec(line.trim())
    if (!match) continue
    const [, key, number, value] = match
    const entry = entries.get(Number(number)) ?? {}
    entry[key] = value.replace(/\\u([0-9a-fA-F]{4})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
    entries.set(Number(number), entry)
  }
  return [...entries.values()]
}

/** What Blend Swap's licence file says of the original. */
function parseNotice(text: string): { title: string | undefined; url: string | undefined } {
  return {
    title: /downloading "([^"]*)"/.exec(text)?.[1],
    url: /Downloaded from (\S+)/.exec(text)?.[1],
  }
}
