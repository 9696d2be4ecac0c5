// How far a long job is: a bar on a terminal, a plain line now and then elsewhere.

import cliProgress from 'cli-progress'

export interface Progress {
  /** `done` of the total; `note` is shown beside it (a loss). */
  update(done: number, note?: string): void
  /** Prints a line of its own without breaking the bar. */
  log(line: string): void
  stop(): void
}

/** Seconds between two plain lines. */
const PLAIN_INTERVAL = 10

/**
 * Begins to show a job of `total` units of which `done` are done.
 * @param unit what is counted, in the plural
 */
export function startProgress(title: string, total: number, unit: string, done = 0): Progress {
  const start = { time: performance.now(), done }
  const rate = (now: number) => (1000 * (now - start.done)) / (performance.now() - start.time)
  return process.stdout.isTTY ? bar(title, total, unit, done, rate) : plainLines(title, total, unit, rate)
}

function bar(title: string, total: number, unit: string, done: number, rate: (done: number) => number): Progress {
  const format = `${title} {bar} {value}/{total} ${unit}  {note}{rate} ${unit}/s  {left} left`
  const view = new cliProgress.SingleBar(
    { format, barsize: 28, hideCursor: true, clearOnComplete: false, gracefulExit: false },
    cliProgress.Presets.shades_classic,
  )
  view.start(total, done, { note: '', rate: '-', left: '-' })
  return {
    update(now, note) {
      const perSecond = rate(now)
      view.update(now, {
        note: note ? `${note}  ` : '',
        rate: shownRate(perSecond),
        left: duration((total - now) / perSecond),
      })
    },
    log(line) {
      process.stdout.write(`\r\x1b[K${line}\n`)
    },
    stop: () => view.stop(),
  }
}

function plainLines(title: string, total: number, unit: string, rate: (done: number) => number): Progress {
  let printed = performance.now()
  return {
    update(now, note) {
      const time = performance.now()
      if (now < total && time - printed < PLAIN_INTERVAL * 1000) return
      printed = time
      const perSecond = rate(now)
      const parts = [`${title} ${now}/${total} ${unit}`, note, `${shownRate(perSecond)} ${unit}/s`]
      if (now < total) parts.push(`${duration((total - now) / perSecond)} left`)
      console.log(parts.filter(Boolean).join('  '))
    },
    log: line => console.log(line),
    stop: () => {},
  }
}

/** Three digits, and no exponent. */
const shownRate = (perSecond: number) => (perSecond < 100 ? perSecond.toPrecision(3) : perSecond.toFixed(0))

/** Seconds as people read them: 42 s, 3 min 5 s, 2 h 4 min. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`
}
