// Finding the boxes of household objects on a table, in a bird's-eye grid and camera images, with a CrossModalDecoder.

import { createHash } from 'node:crypto'
import { type Device, type RngKey, rngKey } from '@ditkit/core'
import type { CrossModalDecoder, CrossModalOutputs } from '@ditkit/dit-model'
import type { Config, TabletopConfig } from '../config/schema'
import { type HouseholdObject, loadObjects } from '../data/objects/objects'
import { CATEGORIES } from '../detect/categories'
import { predictedBy, setLoss, targetsOf } from '../detect/criterion'
import { type DenoisingQueries, denoisingQueries } from '../detect/denoising'
import { detect, inputsOf, readPredictions } from '../detect/detector'
import { type DetectScene, DetectScenes } from '../detect/scenes'
import { type Found, meanScores, mostConfident, SCORES, scoreScene } from '../detect/score'
import { buildDetector } from '../model/build-detector'
import { writeBoxes } from '../report/boxes'
import type { Batch, BoxFormat, DrawWatch, FigureChart, LateLoss, Learner, Outcome, Samples, Split, Task } from './task'

/** Which held-out scenes there are is the same for every seed, so that runs compare. */
const HELD_OUT_KEY = rngKey(20_262)

export class DetectTask implements Task<CrossModalDecoder> {
  readonly description: string
  readonly unit = 'scenes'
  readonly format: BoxFormat = { boxes: CATEGORIES }
  readonly train: Split<CrossModalDecoder>
  readonly validation: Split<CrossModalDecoder>
  readonly charts: readonly FigureChart[]
  private readonly objects: readonly HouseholdObject[]
  private readonly heldOut: DetectScenes
  /** Objects that were left out. */
  private skipped = 0

  constructor(
    private readonly data: TabletopConfig,
    private readonly settings: Config['detect'],
    warn: (line: string) => void,
  ) {
    this.objects = loadObjects(data, line => {
      this.skipped++
      warn(line)
    })
    const known = this.objects.filter(({ entry }) => entry.split === 'train')
    this.heldOut = heldOutScenes(data, HELD_OUT_KEY, this.objects)
    const seen = new DetectScenes(known, optionsOf(data), HELD_OUT_KEY.foldIn(1))
    this.train = this.split(seen, data.scenes)
    this.validation = this.split(this.heldOut, data.validation)
    this.charts = chartsOf(settings)
    this.description = `scenes of ${known.length} objects, ${data.validation} validation scenes of ${this.objects.length - known.length} others`
  }

  fingerprint(): string {
    const hash = createHash('sha256').update(JSON.stringify(this.data))
    for (const { entry } of this.objects) hash.update(JSON.stringify(entry))
    return hash.digest('hex')
  }

  buildModel(device: Device, key: RngKey, config: Config): CrossModalDecoder {
    return buildDetector(device, key, config, this.data)
  }

  /** Everything that the model finds in held-out scenes, most confident first. */
  async draw(learner: Learner<CrossModalDecoder>, config: Config, _key: RngKey, watch: DrawWatch): Promise<Samples> {
    const scenes = this.shown(config)
    const found = await detect({ ...learner, ...watch, scenes, batch: config.sample.batch })
    const boxes = found.map(predicted => mostConfident(predicted, this.settings.queries))
    const titles = scenes.map((scene, i) => titleOf(boxes[i].slice(0, scene.boxes.length)))
    return { write: path => writeBoxes(path, scenes, boxes, titles) }
  }

  /** The objects that are there. */
  async targets(config: Config): Promise<Samples> {
    const scenes = this.shown(config)
    const boxes = scenes.map(scene => scene.boxes.map((box): Found => ({ box, confidence: 1 })))
    const titles = scenes.map(({ texts }) => texts.join(', '))
    return { write: path => writeBoxes(path, scenes, boxes, titles) }
  }

  summary({ sample }: Config): Record<string, unknown> {
    const count = (split: string) => this.objects.filter(({ entry }) => entry.split === split).length
    return {
      training_objects: count('train'),
      held_out_objects: count('held-out'),
      skipped_objects: this.skipped,
      categories: CATEGORIES,
      samples: sample.count,
    }
  }

  private shown({ sample }: Config): DetectScene[] {
    return Array.from({ length: sample.count }, (_, i) => this.heldOut.scene(i))
  }

  private split(scenes: DetectScenes, count: number): Split<CrossModalDecoder> {
    return {
      count,
      read: (indices, augment) =>
        new DetectBatch(
          Array.from(indices, (index, i) => scenes.scene(index, augment?.foldIn(i))),
          this.data,
          this.settings,
        ),
    }
  }
}

/** Scenes of the objects that training never sees; other keys make others. */
export function heldOutScenes(
  data: TabletopConfig,
  key: RngKey,
  objects: readonly HouseholdObject[] = loadObjects(data),
): DetectScenes {
  const unseen = objects.filter(({ entry }) => entry.split === 'held-out')
  return new DetectScenes(unseen, optionsOf(data), key)
}

/** Categories with their confidence: "cup 62 %". */
function titleOf(found: readonly Found[]): string {
  return found.map(({ box, confidence }) => `${CATEGORIES[box.category]} ${Math.round(100 * confidence)} %`).join(', ')
}

function optionsOf(data: TabletopConfig) {
  return { ...data, mostObjects: data.most_objects, cameraPoints: data.camera_points }
}

function chartsOf({ bias }: Config['detect']): FigureChart[] {
  const scores: FigureChart[] = [
    { title: 'recall on held-out objects', columns: SCORES.slice(0, 3), of: 'validation' },
    { title: 'mean centre error on held-out objects, metres', columns: SCORES.slice(3), of: 'validation' },
  ]
  if (bias === 'none') return scores
  return [
    ...scores,
    { title: 'scale of the bias', columns: ['bias_scale'], of: 'training' },
    { title: 'mean weights of the modalities', columns: ['lidar_weight', 'camera_weight'], of: 'training' },
  ]
}

class DetectBatch implements Batch<CrossModalDecoder> {
  constructor(
    private readonly scenes: readonly DetectScene[],
    private readonly data: TabletopConfig,
    private readonly settings: Config['detect'],
  ) {}

  loss({ device, model }: Learner<CrossModalDecoder>, key: RngKey): LateLoss {
    const [denoisingKey, modelKey] = key.split(2)
    const { denoising_groups: groups, denoising_noise: noise } = this.settings
    const denoising =
      model.training && groups > 0
        ? denoisingQueries(this.truth, { groups, slots: this.data.most_objects, noise }, denoisingKey)
        : undefined
    const inputs = inputsOf(this.scenes, model, device, denoising && { ...denoising, groups })
    return { answered: this.answer(model.forward(inputs, { key: modelKey }), model.training, denoising) }
  }

  nonFinite(): string | undefined {
    for (const [i, { cells, patches }] of this.scenes.entries()) {
      const bad = [...cells, ...patches].find(value => !Number.isFinite(value))
      if (bad !== undefined) return `scene ${i} of the batch holds ${bad}`
    }
    return undefined
  }

  private get truth() {
    return this.scenes.map(({ boxes }) => boxes)
  }

  /** Matching and scores need the predictions on the host. */
  private async answer(
    outputs: CrossModalOutputs,
    training: boolean,
    denoising: DenoisingQueries | undefined,
  ): Promise<() => Outcome> {
    const { queries } = this.settings
    const [predictions, bias] = await Promise.all([readPredictions(outputs), biasFigures(outputs, queries)])
    const targets = targetsOf(predictions, this.truth, queries, denoising)
    const last = predictions.shape[0] - 1
    const scores = () =>
      meanScores(this.scenes.map(({ boxes }, i) => scoreScene(predictedBy(predictions, last, i, queries), boxes)))
    const figures = training ? bias : { ...scores() }
    return () => ({ loss: setLoss(outputs, targets), figures })
  }
}

/** The bias's scale, and the mean over the learned queries of each modality's weight. */
async function biasFigures(
  { biasScale, modalityWeights }: CrossModalOutputs,
  queries: number,
): Promise<Record<string, number>> {
  if (!biasScale || !modalityWeights) return {}
  const [scale, weights] = await Promise.all([biasScale.data(), modalityWeights.data()])
  const [scenes, all, modalities] = modalityWeights.shape
  const mean = (modality: number) => {
    let sum = 0
    for (let b = 0; b < scenes; b++)
      for (let q = all - queries; q < all; q++) sum += Number(weights[(b * all + q) * modalities + modality])
    return sum / (scenes * queries)
  }
  return { bias_scale: Number(scale[0]), lidar_weight: mean(0), camera_weight: mean(1) }
}
