import { cpu } from '@ditkit/backend-cpu'
import { backward, type Device, hostNormal, rngKey, scope, sum } from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BOX_SIZE, type Box, NUMBER_WEIGHTS, toField, writeBox } from './box'
import { type HostPredictions, setLoss, targetsOf } from './criterion'
import { denoisingQueries, sceneMasks } from './denoising'
import { focalLoss } from './focal'
import { matchBoxes } from './match'
import { mostConfident, scoreScene } from './score'

let device: Device
beforeAll(async () => {
  device = await cpu()
})
afterAll(() => {
  const { liveTensors } = device.memory()
  device.dispose()
  expect(liveTensors).toBe(0)
})

const CATEGORIES = 4
const boxAt = (x: number, y: number, category = 0): Box => ({
  category,
  center: [x, y, 0.05],
  size: [0.1, 0.08, 0.1],
  yaw: 0.3,
})

/** L layers of N random predictions for B scenes. */
function randomPredictions(shape: readonly [number, number, number], seed: number): HostPredictions {
  const rows = shape[0] * shape[1] * shape[2]
  const [a, b] = rngKey(seed).split(2)
  return {
    shape: [...shape, CATEGORIES],
    logits: Float32Array.from(hostNormal(a, rows * CATEGORIES)),
    boxes: Float32Array.from(hostNormal(b, rows * BOX_SIZE)),
  }
}

describe('focalLoss', () => {
  const logits = Float32Array.of(-4.6, 0, 2.5, 9, -30, 0.3, -0.01, 1.7, 60)
  const there = [1, 0, 0, 0, 1, 0, 0, 0, 0]
  // α_t · BCE · (1 − p_t)² in float64 by PyTorch 2.13, and its gradient.
  const losses = [
    1.1296756432414963, 0.12996509635498973, 1.6518525732297862, 6.74842680480414, 7.499999999998619,
    0.21144280217762276, 0.12774287714140015, 1.0015007817725643, 45,
  ]
  const gradients = [
    -0.26509479731839947, 0.22371509635498973, 0.8425523051660218, 0.7513878349899267, -0.25000000000133343,
    0.3221298514393129, 0.22073236733753043, 0.7627671367086959, 0.75,
  ]

  it("and its gradient are PyTorch's, far from 0 and at 0 too", async () => {
    const x = device.tensor(logits, [3, 3], { requiresGrad: true })
    const sign = device.tensor(
      Float32Array.from(there, y => (y ? -1 : 1)),
      [3, 3],
    )
    const weight = device.tensor(
      Float32Array.from(there, y => (y ? 0.25 : 0.75)),
      [3, 3],
    )
    const loss = scope(() => {
      const loss = focalLoss(x, sign, weight)
      backward(sum(loss))
      return loss
    })
    for (const [i, value] of (await loss.data()).entries())
      expect(Math.abs(Number(value) - losses[i])).toBeLessThan(2e-6 * Math.max(1, losses[i]))
    for (const [i, value] of (await x.grad!.data()).entries())
      expect(Math.abs(Number(value) - gradients[i])).toBeLessThan(2e-6)
    for (const tensor of [x.grad!, x, sign, weight, loss]) tensor.dispose()
  })
})

describe('matchBoxes', () => {
  it('is the cheapest of all ways to give each box a query of its own', () => {
    const truth = [boxAt(0.1, 0.1, 1), boxAt(-0.1, 0.2, 3), boxAt(0.3, -0.2, 1)]
    const costOf = (predicted: HostPredictions, row: number, query: number) => {
      const p = 1 / (1 + Math.exp(-predicted.logits[query * CATEGORIES + truth[row].category]))
      const focal = -0.25 * (1 - p) ** 2 * Math.log(p) + 0.75 * p ** 2 * Math.log(1 - p)
      const wanted = new Float32Array(BOX_SIZE)
      writeBox(truth[row], wanted, 0)
      const l1 = wanted.reduce(
        (sum, value, k) => sum + NUMBER_WEIGHTS[k] * Math.abs(value - predicted.boxes[query * BOX_SIZE + k]),
        0,
      )
      return 2 * focal + 0.5 * l1
    }
    for (let seed = 0; seed < 10; seed++) {
      const predicted = randomPredictions([1, 1, 5], seed)
      const total = (queries: readonly number[]) =>
        queries.reduce((sum, query, row) => sum + costOf(predicted, row, query), 0)
      let best = Number.POSITIVE_INFINITY
      for (let code = 0; code < 125; code++) {
        const queries = [code % 5, Math.floor(code / 5) % 5, Math.floor(code / 25)]
        if (new Set(queries).size === 3) best = Math.min(best, total(queries))
      }
      const chosen = [...matchBoxes(predicted, truth)]
      expect(new Set(chosen).size).toBe(3)
      expect(total(chosen)).toBeCloseTo(best, 4)
    }
  })

  it('answers for predictions that are not numbers, and refuses fewer queries than boxes', () => {
    const predicted = randomPredictions([1, 1, 3], 1)
    predicted.boxes.fill(Number.NaN)
    expect(new Set(matchBoxes(predicted, [boxAt(0, 0), boxAt(0.2, 0)])).size).toBe(2)
    const four = [0, 0.1, 0.2, 0.3].map(x => boxAt(x, 0))
    expect(() => matchBoxes(predicted, four)).toThrow('4 rows')
  })
})

describe('denoising queries', () => {
  const options = { groups: 3, slots: 2, noise: 1 }
  const scenes = [[boxAt(0.1, 0.2, 1)], [boxAt(0, 0, 2), boxAt(-0.2, 0.1, 3)]]
  const { references, slots } = denoisingQueries(scenes, options, rngKey(5))

  it('lie near their boxes, farther with more noise, as the key says', () => {
    expect(references.length).toBe(2 * 6 * 3)
    for (const [b, boxes] of scenes.entries())
      for (let q = 0; q < 6; q++) {
        const box = boxes[q % 2]
        expect(slots[b][q] === undefined).toBe(box === undefined)
        if (!box) continue
        const [x, y, z] = box.size
        const [low, high] = [-1, 1].map(side =>
          toField([box.center[0] + (side * x) / 2, box.center[1] + (side * y) / 2, box.center[2] + (side * z) / 2]),
        )
        for (const axis of [0, 1, 2]) {
          expect(references[(b * 6 + q) * 3 + axis]).toBeGreaterThanOrEqual(low[axis] - 1e-6)
          expect(references[(b * 6 + q) * 3 + axis]).toBeLessThanOrEqual(high[axis] + 1e-6)
        }
      }
    expect(denoisingQueries(scenes, options, rngKey(5))).toEqual({ references, slots })
    expect(denoisingQueries(scenes, options, rngKey(6)).references).not.toEqual(references)
    const still = denoisingQueries(scenes, { ...options, noise: 0 }, rngKey(5)).references
    for (const [axis, share] of toField(scenes[0][0].center).entries()) expect(still[axis]).toBeCloseTo(share, 6)
  })

  it('find nothing where the noise took them far, and their box elsewhere', () => {
    const many = denoisingQueries([[boxAt(0, 0)]], { groups: 200, slots: 1, noise: 1 }, rngKey(1))
    const kept = many.slots[0].filter(slot => slot?.box).length / 200
    // A ball of radius 0.75 in a cube of side 2.
    expect(Math.abs(kept - ((4 / 3) * Math.PI * 0.75 ** 3) / 8)).toBeLessThan(0.1)
  })

  it('are seen by their group alone, never by the learned queries, and not at all where a scene has no box for them', () => {
    const [learned, total] = [3, 9]
    const mask = sceneMasks(learned, options, slots)
    const sees = (b: number, i: number, j: number) => mask[(b * total + i) * total + j] === 1
    const rows = (b: number) =>
      Array.from({ length: total }, (_, i) =>
        Array.from({ length: total }, (_, j) => (sees(b, i, j) ? '1' : '.')).join(''),
      )
    expect(rows(0)).toEqual([
      '1.....111',
      '11....111',
      '..1...111',
      '..11..111',
      '....1.111',
      '....11111',
      '......111',
      '......111',
      '......111',
    ])
    expect(rows(1).slice(0, 6)).toEqual(
      ['11....', '11....', '..11..', '..11..', '....11', '....11'].map(row => `${row}111`),
    )
  })
})

describe('setLoss', () => {
  const truth = [[boxAt(0.1, 0.1, 1)], [boxAt(-0.1, 0.2, 3), boxAt(0.3, -0.2, 0)]]

  async function lossOf(host: HostPredictions, learned: number, denoising?: ReturnType<typeof denoisingQueries>) {
    const loss = scope(() => {
      const logits = device.tensor(host.logits, host.shape)
      const boxes = device.tensor(host.boxes, [...host.shape.slice(0, 3), BOX_SIZE])
      return setLoss({ logits, boxes }, targetsOf(host, truth, learned, denoising))
    })
    const value = await loss.item()
    loss.dispose()
    return value
  }

  /** Predictions that say `truth`, with query 2 − i for box i, the other queries sure of nothing. */
  function perfect(): HostPredictions {
    const host = randomPredictions([2, 2, 3], 4)
    host.logits.fill(-20)
    for (let layer = 0; layer < 2; layer++)
      for (const [b, boxes] of truth.entries())
        for (const [i, box] of boxes.entries()) {
          const row = (layer * 2 + b) * 3 + 2 - i
          host.logits[row * CATEGORIES + box.category] = 20
          writeBox(box, host.boxes, row * BOX_SIZE)
        }
    return host
  }

  it('is nothing for the truth in any order, and grows with each error by its weight per object', async () => {
    expect(await lossOf(perfect(), 3)).toBeLessThan(1e-5)
    const moved = perfect()
    // Layer 1, scene 0, query 2: 5 cm off along x, in one of three objects.
    moved.boxes[(1 * 6 + 2) * BOX_SIZE] += 0.05
    expect(await lossOf(moved, 3)).toBeCloseTo((0.5 * 0.5) / 3, 5)
    const silent = perfect()
    silent.logits[2 * CATEGORIES + 1] = -20
    expect(await lossOf(silent, 3)).toBeCloseTo((2 * 0.25 * 20) / 3, 4)
  })

  it('counts denoising queries beside, per object that they find back, and those without one not at all', async () => {
    const denoising = denoisingQueries(truth, { groups: 1, slots: 2, noise: 0 }, rngKey(2))
    const alone = perfect()
    const host: HostPredictions = { ...randomPredictions([2, 2, 5], 3), shape: [2, 2, 5, CATEGORIES] }
    host.logits.fill(-20)
    const fill = (slotError: number) => {
      for (let row = 0; row < 4; row++) {
        host.logits.set(
          alone.logits.subarray(row * 3 * CATEGORIES, (row + 1) * 3 * CATEGORIES),
          (row * 5 + 2) * CATEGORIES,
        )
        host.boxes.set(alone.boxes.subarray(row * 3 * BOX_SIZE, (row + 1) * 3 * BOX_SIZE), (row * 5 + 2) * BOX_SIZE)
        for (const [slot, box] of truth[row % 2].entries()) {
          host.logits[(row * 5 + slot) * CATEGORIES + box.category] = 20
          writeBox(box, host.boxes, (row * 5 + slot) * BOX_SIZE)
          host.boxes[(row * 5 + slot) * BOX_SIZE + 7] += slotError
        }
      }
    }
    fill(0)
    // Slot 1 of scene 0 has no box.
    for (let layer = 0; layer < 2; layer++)
      host.logits.fill(15, (layer * 10 + 1) * CATEGORIES, (layer * 10 + 2) * CATEGORIES)
    expect(await lossOf(host, 3, denoising)).toBeLessThan(1e-5)
    fill(0.3)
    expect(await lossOf(host, 3, denoising)).toBeCloseTo(2 * 0.5 * 0.3, 5)
  })
})

describe('scoreScene', () => {
  it('takes as many confident boxes as there are objects, pairs them by distance, and counts what is near', () => {
    const truth = [boxAt(0, 0, 1), boxAt(0.3, 0, 2), boxAt(-0.3, 0.1, 0)]
    const boxes = new Float32Array(4 * BOX_SIZE)
    const logits = new Float32Array(4 * CATEGORIES).fill(-5)
    // Near with the wrong category, 7 cm off with the right one, far off; and one exact that is too shy to count.
    writeBox(boxAt(0.32, 0, 0), boxes, 0)
    logits[0] = 3
    writeBox(boxAt(0, 0.07, 1), boxes, BOX_SIZE)
    logits[CATEGORIES + 1] = 2
    writeBox(boxAt(-0.3, 0.4, 0), boxes, 2 * BOX_SIZE)
    logits[2 * CATEGORIES] = 1
    writeBox(truth[2], boxes, 3 * BOX_SIZE)
    const score = scoreScene({ logits, boxes }, truth)
    expect(score).toMatchObject({ recall_5cm: 1 / 3, recall_10cm: 2 / 3, recall_named: 1 / 3 })
    expect(score.centre_error).toBeCloseTo((0.02 + 0.07 + 0.3) / 3, 5)
    const [first] = mostConfident({ logits, boxes }, 1)
    expect(first.box.category).toBe(0)
    expect(first.confidence).toBeCloseTo(1 / (1 + Math.exp(-3)), 6)
  })
})
