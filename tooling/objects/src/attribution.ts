// Who made each object, as CC-BY asks: author, title and source where known, licence, and that it was changed.

import type { ObjectEntry } from '../../../apps/train/src/data/objects/objects'

const SOURCES: Readonly<Record<string, string>> = {
  'BlendSwap-CC-0': 'Blend Swap models under CC0, cleaned and converted by Emmanuel Puybaret / eTeks',
  'BlendSwap-CC-BY': 'Blend Swap models under CC-BY, cleaned and converted by Emmanuel Puybaret / eTeks',
  Scopia: 'Models by Scopia Visual Interfaces Systems, s.l. (http://www.scopia.es) and Emmanuel Puybaret / eTeks',
}
const LICENCES = {
  'CC0-1.0': '[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/)',
  'CC-BY-3.0': '[CC-BY 3.0](https://creativecommons.org/licenses/by/3.0/)',
}

export function attribution(objects: readonly ObjectEntry[]): string {
  const sections = Object.entries(SOURCES).map(([catalogue, source]) => {
    const rows = objects
      .filter(object => object.catalogue === catalogue)
      .map(({ id, text, title, author, url, licence }) => {
        const original = title ? `“${title}”` : ''
        return `| ${id} | ${text} | ${author} | ${url ? `[${original || 'original'}](${url})` : original} | ${LICENCES[licence]} |`
      })
    return `## ${source}\n\n| object | what it is | author | original | licence |\n|---|---|---|---|---|\n${rows.join('\n')}\n`
  })
  return `# Who made the objects

The meshes come from the furniture libraries of [Sweet Home 3D](https://www.sweethome3d.com), as packaged in Debian's
\`sweethome3d-furniture\`. All were changed for ditkit: scaled to metres, stood upright, welded, stripped of what cannot be
seen from outside and of colours, simplified, and rounded to a grid. The authors do not endorse ditkit.

${sections.join('\n')}`
}
