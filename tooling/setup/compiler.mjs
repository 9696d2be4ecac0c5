// Looks for the C++ compiler that the native addon of @ditkit/backend-cpu is built with.
import { spawnSync } from 'node:child_process'

/**
 * The first compiler that answers `--version`: `$CXX` (which may carry arguments, as in `ccache g++`), else c++, g++
 * or clang++. Throws with what to install when there is none, or when `$CXX` is set and does not run.
 * @param {NodeJS.ProcessEnv} env
 * @returns {{ command: string, version: string }}
 */
export function findCompiler(env = process.env) {
  const candidates = env.CXX?.trim() ? [env.CXX.trim()] : ['c++', 'g++', 'clang++']
  for (const command of candidates) {
    const [program, ...args] = command.split(/\s+/)
    const result = spawnSync(program, [...args, '--version'], { env, encoding: 'utf8' })
    if (result.status === 0) return { command, version: result.stdout.split('\n', 1)[0] }
  }
  const tried = env.CXX?.trim()
    ? `$CXX is set to '${env.CXX.trim()}', which does not run`
    : `none of ${candidates.join(', ')} runs`
  throw new Error(`ditkit builds its CPU kernels with a C++17 compiler, and ${tried}.\n${remedy()}`)
}

function remedy() {
  if (process.platform === 'darwin') return 'Install one with: xcode-select --install'
  if (process.platform === 'win32') return 'On Windows run ditkit inside WSL 2, where apt-get install g++ provides one.'
  return 'Install one with: apt-get install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), apk add g++ (Alpine); or name yours in $CXX.'
}
