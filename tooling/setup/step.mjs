// Prints one line per step with its duration, and runs child processes quietly: what they wrote is shown whole
// when they fail, and not otherwise.
import { spawn } from 'node:child_process'

/** A child process that ended badly: the command, and everything it wrote. */
export class CommandError extends Error {
  /** @param {string} command @param {string} reason @param {string} output */
  constructor(command, reason, output) {
    super(`${command} ${reason}`)
    this.output = output
  }
}

/**
 * Announces `title`, does `work`, then completes the line with the duration and with the text that `work` returns.
 * @param {string} title
 * @param {() => Promise<string | void> | string | void} work
 */
export async function step(title, work) {
  const started = performance.now()
  process.stdout.write(`  ${title} ... `)
  try {
    const note = await work()
    process.stdout.write(`${duration(started)}${note ? ` (${note})` : ''}\n`)
  } catch (error) {
    process.stdout.write(`failed after ${duration(started)}\n`)
    throw error
  }
}

/** @param {number} started a `performance.now()` */
export function duration(started) {
  const seconds = (performance.now() - started) / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

/** @type {Set<import('node:child_process').ChildProcess>} */
const quiet = new Set()
/** @type {import('node:child_process').ChildProcess | undefined} */
let visible
let interrupted = false

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    interrupted = true
    for (const child of quiet) child.kill(signal)
    if (!visible) process.exit(signal === 'SIGINT' ? 130 : 143)
    // A terminal sends its interrupt to the child as well, where a second one could mean "leave without saving".
    if (signal !== 'SIGINT' || !process.stdin.isTTY) visible.kill(signal)
  })
}

/**
 * Runs a program and resolves to what it wrote on both streams; rejects with a `CommandError` unless it exits with 0.
 * Its standard input is empty, so that nothing can wait for an answer.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<string>}
 */
export function runQuietly(program, args, options) {
  return new Promise((resolve, reject) => {
    const shown = [program === process.execPath ? 'node' : program, ...args].join(' ')
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    quiet.add(child)
    /** @type {Buffer[]} */
    const output = []
    child.stdout.on('data', chunk => output.push(chunk))
    child.stderr.on('data', chunk => output.push(chunk))
    child.on('error', error => {
      quiet.delete(child)
      reject(new CommandError(shown, `could not be started: ${error.message}`, ''))
    })
    child.on('close', (code, signal) => {
      quiet.delete(child)
      const text = Buffer.concat(output).toString()
      if (code === 0) resolve(text)
      else reject(new CommandError(shown, code === null ? `was ended by ${signal}` : `exited with ${code}`, text))
    })
  })
}

/**
 * Runs a program on this terminal and resolves to its exit code (128 when a signal ended it).
 * On an interrupt this process waits for it to save and leave.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>}
 */
export function runVisibly(program, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: 'inherit' })
    visible = child
    child.on('error', reject)
    child.on('close', code => {
      visible = undefined
      // It may have saved and left without an error; what would come next is not wanted any more.
      if (interrupted) process.exit(code ?? 130)
      resolve(code ?? 128)
    })
  })
}

/**
 * Prints a failure: the error's message and, for a child process, all it wrote.
 * @param {unknown} error
 */
export function printFailure(error) {
  if (error instanceof CommandError && error.output) console.error(`\n${error.output.trimEnd()}\n`)
  console.error(error instanceof Error ? error.message : String(error))
}
