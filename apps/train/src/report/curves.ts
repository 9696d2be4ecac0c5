// training_curves.png: losses on top, learning rate and gradient norm below, then what the task adds.

import { createCanvas } from '@napi-rs/canvas'
import { Chart, type ChartDataset, registerables } from 'chart.js'
import type { MetricsRow } from '../run/metrics'
import { FONT } from './font'

Chart.register(...registerables)
Chart.defaults.font.family = FONT
Chart.defaults.font.size = 22
Chart.defaults.color = '#3a3f47'

const WIDTH = 1600
const LOSS_HEIGHT = 760
const LOWER_HEIGHT = 420

export type Point = { x: number; y: number }

/** A chart of columns that a task adds to the metrics. */
export interface ExtraChart {
  readonly title: string
  readonly columns: readonly string[]
}

/** Draws the curves of a run as a PNG. */
export async function curvesPng(
  rows: readonly MetricsRow[],
  title: string,
  extra: readonly ExtraChart[] = [],
): Promise<Buffer> {
  const canvas = createCanvas(WIDTH, LOSS_HEIGHT + LOWER_HEIGHT * (1 + Math.ceil(extra.length / 2)))
  const context = canvas.getContext('2d')
  context.fillStyle = '#ffffff'
  context.fillRect(0, 0, canvas.width, canvas.height)
  const lower = { width: WIDTH / 2, height: LOWER_HEIGHT }
  context.drawImage(lossChart(rows, title), 0, 0)
  context.drawImage(
    lineChart(rows, row => row.learning_rate, { ...lower, title: 'learning rate', color: '#7a5195' }),
    0,
    LOSS_HEIGHT,
  )
  context.drawImage(
    lineChart(rows, row => row.grad_norm, { ...lower, title: 'gradient norm', color: '#2f8f6f', logarithmic: true }),
    WIDTH / 2,
    LOSS_HEIGHT,
  )
  for (const [i, chart] of extra.entries()) {
    const top = LOSS_HEIGHT + LOWER_HEIGHT * (1 + Math.floor(i / 2))
    context.drawImage(extraChart(rows, chart, lower), (i % 2) * lower.width, top)
  }
  return canvas.encode('png')
}

function lossChart(rows: readonly MetricsRow[], title: string) {
  const losses = rows.map(row => ({ x: row.step, y: row.loss }))
  const validation = rows.filter(row => row.val_loss !== undefined).map(row => ({ x: row.step, y: row.val_loss! }))
  const datasets: ChartDataset<'line', Point[]>[] = [
    {
      label: 'loss, each step',
      data: losses,
      borderColor: 'rgba(53, 114, 190, 0.35)',
      borderWidth: 1.5,
      pointRadius: 0,
    },
    { label: 'loss, smoothed', data: smooth(losses), borderColor: '#1f5fa8', borderWidth: 4, pointRadius: 0 },
  ]
  if (validation.length > 0) {
    const marker = { pointRadius: 5, pointBackgroundColor: '#d9601a' }
    datasets.push({ label: 'validation loss', data: validation, borderColor: '#d9601a', borderWidth: 3, ...marker })
  }
  return drawChart(datasets, { title, width: WIDTH, height: LOSS_HEIGHT, logarithmic: true, legend: true })
}

const EXTRA_COLORS = ['#1f5fa8', '#d9601a', '#2f8f6f', '#7a5195']

function extraChart(
  rows: readonly MetricsRow[],
  { title, columns }: ExtraChart,
  size: { width: number; height: number },
) {
  const datasets = columns.map((label, i): ChartDataset<'line', Point[]> => {
    const data = rows.map(row => ({ x: row.step, y: row.figures?.[label] ?? Number.NaN }))
    const known = data.filter(point => Number.isFinite(point.y))
    return { label, data: known, borderColor: EXTRA_COLORS[i % EXTRA_COLORS.length], borderWidth: 3, pointRadius: 0 }
  })
  return drawChart(datasets, { title, ...size, legend: columns.length > 1 })
}

export interface ChartStyle {
  title: string
  width: number
  height: number
  color?: string
  logarithmic?: boolean
  legend?: boolean
}

function lineChart(rows: readonly MetricsRow[], value: (row: MetricsRow) => number, style: ChartStyle) {
  const data = rows.map(row => ({ x: row.step, y: value(row) }))
  return drawChart([{ data, borderColor: style.color, borderWidth: 2, pointRadius: 0 }], style)
}

/** One chart of lines; those without a label are left out of the legend. */
export function drawChart(
  datasets: ChartDataset<'line', Point[]>[],
  { title, width, height, logarithmic, legend }: ChartStyle,
) {
  const canvas = createCanvas(width, height)
  // A rate of 0 (the end of a cosine) has no logarithm; neither has the loss of a step that was skipped.
  const drawn = datasets.map(set => ({
    ...set,
    data: set.data.filter(p => Number.isFinite(p.y) && (p.y > 0 || !logarithmic)),
  }))
  const chart = new Chart(canvas.getContext('2d') as unknown as CanvasRenderingContext2D, {
    type: 'line',
    data: { datasets: drawn },
    options: {
      animation: false,
      responsive: false,
      devicePixelRatio: 1,
      parsing: false,
      normalized: true,
      layout: { padding: 24 },
      plugins: {
        title: { display: true, text: title, font: { size: 28 } },
        legend: { display: legend ?? false, labels: { boxHeight: 3, filter: ({ text }) => Boolean(text) } },
      },
      scales: {
        x: {
          type: 'linear',
          max: Math.max(...drawn.flatMap(set => set.data.map(p => p.x))),
          title: { display: true, text: 'step' },
          grid: { color: '#eceef1' },
        },
        y: {
          type: logarithmic ? 'logarithmic' : 'linear',
          grid: { color: '#eceef1' },
          ticks: { callback: value => String(Number(Number(value).toPrecision(3))) },
        },
      },
    },
  })
  // Destroying a chart clears its canvas.
  const picture = createCanvas(width, height)
  picture.getContext('2d').drawImage(canvas, 0, 0)
  chart.destroy()
  return picture
}

/** The mean over a centred window that grows with the run; shorter at the ends. */
function smooth(points: readonly Point[]): Point[] {
  const reach = Math.max(1, Math.floor(points.length / 60))
  return points.map(({ x }, i) => {
    const window = points.slice(Math.max(0, i - reach), i + reach + 1)
    return { x, y: window.reduce((sum, p) => sum + p.y, 0) / window.length }
  })
}
