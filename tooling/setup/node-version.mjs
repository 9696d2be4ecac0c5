// Refuses a Node that is too old before any newer syntax is loaded; so this file and the two entry points
// that import it (demo.mjs, test.mjs) keep to syntax that Node 12 can read.

const MINIMUM = [20, 19]

/** Exits with the remedy when this Node is older than the repository needs. */
export function requireNode(version = process.versions.node) {
  const problem = nodeProblem(version)
  if (!problem) return
  console.error(problem)
  process.exit(1)
}

/**
 * What is wrong with a Node version such as `20.18.1`, or `undefined` when it will do.
 * @param {string} version
 */
export function nodeProblem(version) {
  const parts = version.split('.').map(Number)
  if (parts[0] > MINIMUM[0] || (parts[0] === MINIMUM[0] && parts[1] >= MINIMUM[1])) return undefined
  return (
    `ditkit needs Node ${MINIMUM.join('.')} or newer; this is Node ${version} (${process.execPath}).\n` +
    'Install a current one from https://nodejs.org, or with a version manager: nvm install 22, fnm install 22.'
  )
}
