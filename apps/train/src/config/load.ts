// Turns a recipe and `a.b=c` overrides into a checked Config; every mistake names its key and the way out.

import { readdirSync, readFileSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { closest, distance } from 'fastest-levenshtein'
import { parse, stringify, YAMLParseError } from 'yaml'
import type { z } from 'zod'
import { messageOf, UserError } from '../errors'
import { recipeFolder } from '../package-files'
import { type Config, configSchema, knownKeys } from './schema'

export function builtInRecipes(): string[] {
  return readdirSync(recipeFolder)
    .filter(name => name.endsWith('.yaml'))
    .map(name => basename(name, '.yaml'))
}

/**
 * Reads a recipe: a built-in name or the path of a YAML file, and applies overrides such as `train.steps=200`.
 * Returns the recipe's name (a file's base name) and the whole configuration with defaults filled in.
 */
export function loadConfig(recipe: string, overrides: readonly string[]): { name: string; config: Config } {
  const isFile = /\.ya?ml$/.test(recipe)
  if (!isFile && !builtInRecipes().includes(recipe)) {
    const known = builtInRecipes()
    throw new UserError(
      `recipe ${JSON.stringify(recipe)} is not known: did you mean ${closest(recipe, known)}? ` +
        `(There are ${known.join(', ')}; a recipe of your own is the path of a .yaml file.)`,
    )
  }
  const path = isFile ? recipe : join(recipeFolder, `${recipe}.yaml`)
  const tree = readTree(path)
  for (const override of overrides) applyOverride(tree, override)
  return { name: basename(path, extname(path)), config: checkConfig(tree, path) }
}

/** Checks a parsed configuration; `origin` names it in errors. */
export function checkConfig(tree: unknown, origin: string): Config {
  const result = configSchema.safeParse(tree)
  if (result.success) return result.data
  const lines = result.error.issues.flatMap(issue => describeIssue(issue, tree))
  throw new UserError(`${origin}: the configuration is not valid\n${lines.map(line => `  ${line}`).join('\n')}`)
}

export function writeConfig(config: Config): string {
  return stringify(config)
}

function readTree(path: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new UserError(`recipe ${path} cannot be read: ${messageOf(error)}`)
  }
  let tree: unknown
  try {
    tree = parse(text)
  } catch (error) {
    if (error instanceof YAMLParseError) throw new UserError(`recipe ${path} is not valid YAML: ${error.message}`)
    throw error
  }
  if (!isTree(tree))
    throw new UserError(`recipe ${path} holds no keys (expected a YAML mapping such as "data: { kind: mnist }")`)
  return tree
}

function isTree(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Sets `a.b` of the tree for an override `a.b=c`; the value is read as YAML. */
export function applyOverride(tree: Record<string, unknown>, override: string): void {
  const split = override.indexOf('=')
  if (split < 1)
    throw new UserError(
      `override ${JSON.stringify(override)} has no value (expected key=value, such as train.steps=200)`,
    )
  const path = override.slice(0, split).split('.')
  let value: unknown
  try {
    value = parse(override.slice(split + 1))
  } catch {
    throw new UserError(
      `override ${JSON.stringify(override)}: the value is not valid YAML; put quotes around text with special characters`,
    )
  }
  const leaf = path.pop()!
  let node = tree
  for (const part of path) {
    const next = Object.hasOwn(node, part) ? node[part] : {}
    if (!isTree(next)) throw new UserError(unknownKey(override.slice(0, split)))
    Object.defineProperty(node, part, { value: next, enumerable: true, configurable: true, writable: true })
    node = next
  }
  Object.defineProperty(node, leaf, { value, enumerable: true, configurable: true, writable: true })
}

function describeIssue(issue: z.core.$ZodIssue, tree: unknown): string[] {
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => unknownKey(path ? `${path}.${key}` : key))
  }
  const got = issue.path.reduce<unknown>((node, part) => (isTree(node) ? node[part as string] : undefined), tree)
  const shown = got === undefined ? 'is missing' : `is ${JSON.stringify(got)}`
  if (issue.code === 'invalid_value')
    return [`${path} ${shown} (expected ${issue.values.map(v => JSON.stringify(v)).join(', ')})`]
  const message = issue.message.replace(/^Invalid input: /, '')
  return [isTree(got) ? `${path || 'the recipe'}: ${message}` : `${path} ${shown}: ${message}`]
}

/** "unknown key x: did you mean y?", comparing whole keys and last parts (`learning_rate` for `train.learning_rate`). */
function unknownKey(key: string): string {
  const leaf = key.slice(key.lastIndexOf('.') + 1)
  const lastPart = (name: string) => name.slice(name.lastIndexOf('.') + 1)
  const score = (name: string) => Math.min(distance(key, name), distance(leaf, lastPart(name)) + 0.5)
  const names = knownKeys()
    .flatMap(name => [name, name.slice(0, Math.max(name.indexOf('.'), 0))])
    .filter(Boolean)
  const nearest = names.reduce((best, name) => (score(name) < score(best) ? name : best))
  return `unknown key ${key}: did you mean ${nearest}?`
}
