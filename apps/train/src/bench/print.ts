// The table as it is printed: row by row while the benchmark runs, as text or as Markdown; reasons for what is missing come last.

import type { ReportRow } from './rows'

const COLUMNS = ['work', 'ditkit', 'against', 'ratio', 'wanted', 'met'] as const

export interface Printer {
  row(row: ReportRow): void
  /** The notes. */
  end(): void
}

/** `works` are all that will come, so that columns can be aligned at once. */
export function printer(works: readonly string[], markdown: boolean, print: (line: string) => void): Printer {
  const notes: string[] = []
  const widths = [Math.max(0, ...works.map(work => work.length)), 24, 60, 8, 8, 3]
  const line = (cells: readonly string[]) =>
    markdown
      ? `| ${cells.join(' | ')} |`
      : cells
          .map((cell, i) => cell.padEnd(widths[i]))
          .join('  ')
          .trimEnd()
  print(line(COLUMNS))
  print(markdown ? `|${COLUMNS.map(() => '---').join('|')}|` : line(widths.map(width => '─'.repeat(width))))
  return {
    row({ work, ours, against, ratio, wanted, met, note }) {
      let mark = met === undefined ? '' : met ? 'yes' : 'no'
      if (note !== undefined) {
        if (!notes.includes(note)) notes.push(note)
        mark = `[${notes.indexOf(note) + 1}]`
      }
      print(line([work, ours, against, ratio, wanted, mark]))
    },
    end() {
      if (notes.length > 0) print('')
      for (const [i, note] of notes.entries()) print(`[${i + 1}] ${note}${markdown ? '  ' : ''}`)
    },
  }
}
