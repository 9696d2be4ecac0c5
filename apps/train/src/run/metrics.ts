// training_metrics.csv: one row per step, appended as training goes, cut back to the checkpoint on resume.

import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { UserError } from '../errors'
import { diskError } from './atomic-folder'

export interface MetricsRow {
  /** Optimizer steps done, this one included. */
  step: number
  /** Whole passes over the training images before this step. */
  epoch: number
  loss: number
  learning_rate: number
  /** Only on rows where it was computed. */
  val_loss?: number
  /** Global norm before clipping. */
  grad_norm: number
  /** What the task adds, by column; each only on rows where it was computed. */
  figures?: Readonly<Record<string, number>>
}

const COLUMNS = ['step', 'epoch', 'loss', 'learning_rate', 'val_loss', 'grad_norm'] as const
const HEADER = COLUMNS.join(',')

/** Rows of a metrics file; a last line without its newline (the writer was killed) is left out. */
export function readMetrics(path: string): MetricsRow[] {
  return parse(readFileSync(path, 'utf8'), path).rows
}

function parse(text: string, path: string): { rows: MetricsRow[]; ends: number[] } {
  let at = text.indexOf('\n') + 1
  const columns = text.slice(0, Math.max(0, at - 1)).split(',')
  if (columns.slice(0, COLUMNS.length).join(',') !== HEADER)
    throw new UserError(`${path} does not start with ${HEADER}: it is not a metrics file of this version`)
  const rows: MetricsRow[] = []
  const ends: number[] = []
  for (let end = text.indexOf('\n', at); end >= 0; end = text.indexOf('\n', at)) {
    const cells = text.slice(at, end).split(',')
    const value = (name: (typeof COLUMNS)[number]) => Number(cells[COLUMNS.indexOf(name)])
    const row: MetricsRow = {
      step: value('step'),
      epoch: value('epoch'),
      loss: value('loss'),
      learning_rate: value('learning_rate'),
      grad_norm: value('grad_norm'),
    }
    if (cells[COLUMNS.indexOf('val_loss')]) row.val_loss = value('val_loss')
    const figures = columns.map((name, i) => [name, cells[i]] as const).slice(COLUMNS.length)
    if (figures.length > 0)
      row.figures = Object.fromEntries(figures.filter(([, cell]) => cell).map(([name, cell]) => [name, Number(cell)]))
    if (cells.length !== columns.length || !Number.isInteger(row.step))
      throw new UserError(`${path}: line ${rows.length + 2} is damaged: ${text.slice(at, end)}`)
    at = end + 1
    rows.push(row)
    ends.push(at)
  }
  return { rows, ends }
}

/** Appends rows; `rows` holds all of them, those before a resume included. */
export class MetricsFile {
  private constructor(
    private readonly path: string,
    private readonly descriptor: number,
    readonly rows: MetricsRow[],
    private readonly figures: readonly string[],
  ) {}

  /** A fresh file, or (`afterStep` > 0) the existing one cut back so that `afterStep` is its last row. `figures` are the task's columns. */
  static open(path: string, afterStep: number, figures: readonly string[] = []): MetricsFile {
    try {
      mkdirSync(dirname(path), { recursive: true })
      if (afterStep === 0) {
        const file = new MetricsFile(path, openSync(path, 'w'), [], figures)
        file.write(`${[HEADER, ...figures].join(',')}\n`)
        return file
      }
      if (!existsSync(path))
        throw new UserError(
          `${path} is missing, but the run is at step ${afterStep}; restore it, or start again with --overwrite`,
        )
      const { rows, ends } = parse(readFileSync(path, 'utf8'), path)
      const kept = rows.filter(row => row.step <= afterStep)
      if (kept.length !== afterStep) {
        throw new UserError(
          `${path} holds ${kept.length} rows up to step ${afterStep}, where the checkpoint is; restore it, or start again with --overwrite`,
        )
      }
      const descriptor = openSync(path, 'r+')
      ftruncateSync(descriptor, ends[afterStep - 1])
      closeSync(descriptor)
      return new MetricsFile(path, openSync(path, 'a'), kept, figures)
    } catch (error) {
      throw diskError(error, path)
    }
  }

  append(row: MetricsRow): void {
    this.rows.push(row)
    const cells = [...COLUMNS.map(name => row[name]), ...this.figures.map(name => row.figures?.[name])]
    this.write(`${cells.map(cell => cell ?? '').join(',')}\n`)
  }

  /** Returns once every row is on the disk. */
  flush(): void {
    fsyncSync(this.descriptor)
  }

  close(): void {
    closeSync(this.descriptor)
  }

  private write(text: string): void {
    try {
      const bytes = Buffer.from(text)
      // One call may write less than it was given when the disk fills up.
      for (let at = 0; at < bytes.length; ) at += writeSync(this.descriptor, bytes, at)
    } catch (error) {
      throw diskError(error, this.path)
    }
  }
}
