// Lines and numbers of text formats.

import { SceneError } from '../scene-error'

/** Calls `visit` with each line, without its end (LF, CRLF or CR) and outer blanks, and its number from 1. */
export function forEachLine(text: string, visit: (line: string, number: number) => void): void {
  let number = 1
  const separator = text.includes('\n') ? '\n' : '\r'
  for (let start = 0; start <= text.length; number++) {
    let end = text.indexOf(separator, start)
    if (end < 0) end = text.length
    visit(text.slice(start, end).trim(), number)
    start = end + 1
  }
}

/** A token as a number; 'nan' and 'inf' in any spelling count. Throws a SceneError that names file, line and field. */
export function numberOf(token: string | undefined, file: string, line: number, field: string): number {
  if (token === undefined) throw new SceneError(file, field, `line ${line} ends before it`)
  const value = Number(token)
  if (!Number.isNaN(value)) return value
  if (/^[+-]?nan(\(.*\))?$/i.test(token)) return Number.NaN
  const infinity = /^([+-]?)inf(inity)?$/i.exec(token)
  if (infinity) return infinity[1] === '-' ? -Infinity : Infinity
  throw new SceneError(file, field, `line ${line} has ${JSON.stringify(token.slice(0, 40))}, expected a number`)
}
