// The plot of an ablation: how scores and scale go with the steps, a thick line for the mean of a variant's seeds, thin ones for each.

import { createCanvas } from '@napi-rs/canvas'
import type { ChartDataset } from 'chart.js'
import { drawChart, type Point } from '../report/curves'
import type { MetricsRow } from '../run/metrics'

export interface PlottedVariant {
  readonly name: string
  /** Of each seed. */
  readonly runs: readonly (readonly MetricsRow[])[]
}

const SIZE = { width: 1000, height: 640 }
/** Of no bias, then of each bias with its scale learned and, lighter, frozen. */
const COLORS = ['#5b6470', '#b5482f', '#e0a08a', '#2f7d4f', '#93c9a8', '#1f5fa8', '#8fb3dc']
const PANELS = [
  { title: 'recall within 10 cm, held-out objects', column: 'recall_10cm' },
  { title: 'mean centre error, held-out objects, metres', column: 'centre_error' },
  { title: 'validation loss', column: 'val_loss' },
  { title: 'scale of the bias', column: 'bias_scale' },
] as const

export async function ablationPng(variants: readonly PlottedVariant[]): Promise<Buffer> {
  const canvas = createCanvas(2 * SIZE.width, 2 * SIZE.height)
  const context = canvas.getContext('2d')
  context.fillStyle = '#ffffff'
  context.fillRect(0, 0, canvas.width, canvas.height)
  for (const [i, { title, column }] of PANELS.entries()) {
    const datasets = variants.flatMap(({ name, runs }, v) => linesOf(name, runs, column, COLORS[v % COLORS.length]))
    const chart = drawChart(datasets, { title, ...SIZE, legend: true })
    context.drawImage(chart, (i % 2) * SIZE.width, Math.floor(i / 2) * SIZE.height)
  }
  return canvas.encode('png')
}

function linesOf(label: string, runs: PlottedVariant['runs'], column: string, color: string) {
  const curves = runs.map(rows => rows.map(row => ({ x: row.step, y: valueOf(row, column) })).filter(known))
  if (curves.some(curve => curve.length === 0)) return []
  const mean = curves[0].map(({ x }, i) => ({
    x,
    y: curves.reduce((sum, curve) => sum + curve[i].y, 0) / curves.length,
  }))
  const line = (data: Point[], style: object): ChartDataset<'line', Point[]> => ({
    data,
    borderColor: color,
    pointRadius: 0,
    ...style,
  })
  const each = curves.map(curve => line(curve, { borderWidth: 1, borderDash: [4, 4] }))
  return [line(mean, { label, borderWidth: 4 }), ...each]
}

const known = ({ y }: Point) => Number.isFinite(y)

function valueOf(row: MetricsRow, column: string): number {
  return (column === 'val_loss' ? row.val_loss : row.figures?.[column]) ?? Number.NaN
}
