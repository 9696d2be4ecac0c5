// Choosing weights by name: `blocks.*.attn.qkv.bias`, or a RegExp.

/** A glob in which `*` stands for any run of characters, dots included, and must match the whole name; or a RegExp. */
export type NamePattern = string | RegExp

/** Whether a weight name fits a pattern. */
export function matchesName(pattern: NamePattern, name: string): boolean {
  if (typeof pattern !== 'string') return name.search(pattern) >= 0
  const parts = pattern.split('*').map(part => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}
