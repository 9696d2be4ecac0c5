// One copy of core per program: two would each have a tape, and gradients would silently stop at the border.

const KEY = Symbol.for('@ditkit/core')

const registry = globalThis as { [KEY]?: string }
const here = import.meta.url

// Equal paths are two copies too: a bundler that put both into one file gave them one.
if (registry[KEY] !== undefined) {
  throw new Error(
    `two copies of @ditkit/core are loaded, and autograd cannot work across them:\n  ${registry[KEY]}\n  ${here}\n` +
      'Make every package use one: take @ditkit/core as a peer dependency and run your package manager’s dedupe.',
  )
}
registry[KEY] = here
