import { expect, it } from 'vitest'
import { markdownTable, summarizeVariant } from './table'

it('gives means over seeds with their standard deviations, and leaves out what a variant does not have', () => {
  const run = (seed: number, recall: number, error: number, more: Record<string, number> = {}) => ({
    seed,
    figures: { recall_5cm: recall, recall_10cm: recall, recall_named: 0, centre_error: error, ...more },
  })
  const scaled = { bias_scale: 2.75, lidar_weight: 0.5, camera_weight: -0.25 }
  const variants = [
    summarizeVariant('no bias', [], [run(0, 0.1, 0.2), run(1, 0.3, 0.1), run(2, 0.2, 0.15)]),
    summarizeVariant('dense', ['detect.bias=dense'], [run(0, 0.5, 0.08, scaled)]),
  ]
  expect(variants[0].mean.recall_5cm).toBeCloseTo(0.2, 12)
  expect(variants[0].deviation.recall_5cm).toBeCloseTo(0.1, 12)
  expect(variants[1].deviation.bias_scale).toBe(0)
  expect(markdownTable(variants).split('\n')).toEqual([
    '| variant | recall 5cm | recall 10cm | recall named | centre error | bias scale | lidar weight | camera weight |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    '| no bias | 20.0 ± 10.0 % | 20.0 ± 10.0 % | 0.0 ± 0.0 % | 15.0 ± 5.0 cm |  |  |  |',
    '| dense | 50.0 ± 0.0 % | 50.0 ± 0.0 % | 0.0 ± 0.0 % | 8.0 ± 0.0 cm | 2.750 ± 0.000 | 0.500 ± 0.000 | -0.250 ± 0.000 |',
    '',
  ])
})
