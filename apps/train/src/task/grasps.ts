// Grasping the object that a text names, in a scene of points, with a SceneDiT.

import { createHash } from 'node:crypto'
import { add, type Device, hostNormal, hostUniform, mul, type RngKey, rngKey, slice } from '@ditkit/core'
import { type AnchorProposal, proposalLoss, type SceneCondition, type SceneDiT } from '@ditkit/dit-model'
import { collateScenes, type PaddedBatch, type Scene } from '@ditkit/scene-collate'
import type { Config, ObjectsConfig } from '../config/schema'
import { type HouseholdObject, loadObjects } from '../data/objects/objects'
import { UserError } from '../errors'
import { anchorGrasps, frameTensors, joinedFrames, randomOf } from '../grasp/anchored-batch'
import { drawGrasps } from '../grasp/draw'
import { conditionOf, toModelScene } from '../grasp/model-scene'
import { GraspScenes } from '../grasp/scenes'
import { buildSceneModel } from '../model/build-scene'
import type { HostData, Predict } from '../objective/objective'
import { writeGrasps } from '../report/grasps'
import { TextTable } from '../text/table'
import type { Batch, DrawWatch, GraspFormat, Learner, Samples, Split, Task } from './task'

/** Which scenes there are is the same for every seed, so that runs compare. */
const HELD_OUT_SCENES = rngKey(20_261)
const TRAINING_SCENES = HELD_OUT_SCENES.foldIn(1)

export class GraspTask implements Task<SceneDiT> {
  readonly description: string
  readonly unit = 'scenes'
  readonly format: GraspFormat = { poses: 'grasps' }
  readonly train: Split<SceneDiT>
  readonly validation: Split<SceneDiT>
  private readonly heldOut: GraspScenes

  private constructor(
    private readonly settings: ObjectsConfig,
    private readonly objects: readonly HouseholdObject[],
    private readonly texts: TextTable,
    /** Objects that were left out. */
    private readonly skipped: number,
  ) {
    const known = objects.filter(({ entry }) => entry.split === 'train')
    const unseen = objects.filter(({ entry }) => entry.split === 'held-out')
    for (const [split, some] of Object.entries({ train: known, 'held-out': unseen }))
      if (some.every(({ entry }) => entry.grasps === 0))
        throw new UserError(`data.folder: no object of the split '${split}' has a grasp`)
    const options = { ...settings, mostObjects: settings.most_objects }
    this.heldOut = new GraspScenes(unseen, { ...options, stretch: 1 }, HELD_OUT_SCENES)
    this.train = this.split(new GraspScenes(known, options, TRAINING_SCENES), settings.scenes, settings.jitter)
    this.validation = this.split(this.heldOut, settings.validation, 0)
    const graspable = known.filter(({ entry }) => entry.grasps > 0).length
    this.description = `scenes of ${known.length} objects (${graspable} with grasps), ${settings.validation} validation scenes of ${unseen.length} others`
  }

  /** `warn` is told about every object that `skip_broken` leaves out. */
  static async open(settings: ObjectsConfig, warn: (line: string) => void): Promise<GraspTask> {
    let skipped = 0
    const objects = loadObjects(settings, line => {
      skipped++
      warn(line)
    })
    return new GraspTask(settings, objects, await TextTable.of(objects), skipped)
  }

  fingerprint(): string {
    const hash = createHash('sha256').update(JSON.stringify(this.settings))
    for (const { entry } of this.objects) hash.update(JSON.stringify(entry))
    return hash.digest('hex')
  }

  buildModel(device: Device, key: RngKey, config: Config): SceneDiT {
    return buildSceneModel(device, key, config)
  }

  async draw(learner: Learner<SceneDiT>, config: Config, key: RngKey, watch: DrawWatch): Promise<Samples> {
    const scenes = this.shown(config, key)
    const texts = this.texts.rows(scenes.map(({ texts }) => texts!.object))
    const { grasps: count } = this.settings
    const poses = await drawGrasps({ ...learner, ...watch, config, scenes, texts, count, key })
    return { write: path => writeGrasps(path, scenes, poses) }
  }

  /** Derived grasps in the same scenes. */
  async targets(config: Config, key: RngKey): Promise<Samples> {
    const scenes = this.shown(config, key)
    const each = scenes.map(({ sets }) => sets!.grasps.data as Float32Array)
    return { write: path => writeGrasps(path, scenes, each) }
  }

  summary({ sample }: Config): Record<string, unknown> {
    return {
      training_objects: this.objects.filter(({ entry }) => entry.split === 'train').length,
      held_out_objects: this.objects.filter(({ entry }) => entry.split === 'held-out').length,
      skipped_objects: this.skipped,
      samples: sample.count,
      guidance: sample.guidance,
    }
  }

  /** Held-out scenes, in metres. */
  private shown({ sample }: Config, key: RngKey): Scene[] {
    return Array.from({ length: sample.count }, (_, i) => this.heldOut.scene(i, key.foldIn(i)))
  }

  private split(scenes: GraspScenes, count: number, jitter: number): Split<SceneDiT> {
    return {
      count,
      read: (indices, augment) => {
        const read = Array.from(indices, (index, i) => {
          if (!augment) return toModelScene(scenes.scene(index, HELD_OUT_SCENES.foldIn(index)))
          const [sceneKey, yawKey, jitterKey] = augment.foldIn(i).split(3)
          const scene = shaken(scenes.scene(index, sceneKey), jitter, jitterKey)
          return toModelScene(scene, 2 * Math.PI * hostUniform(yawKey, 1)[0])
        })
        const texts = this.texts.rows(read.map(({ texts }) => texts!.object))
        return new GraspBatch(collateScenes(read), texts)
      },
    }
  }
}

/** Of the loss of which points grasps are given from, beside that of the grasps. */
const PROPOSAL_WEIGHT = 0.5
/** Points at random that anchors are told from, for each of a scene's grasps. */
const RANDOM_SHARE = 0.5

export class GraspBatch implements Batch<SceneDiT> {
  constructor(
    private readonly scenes: PaddedBatch,
    private readonly texts: Float32Array,
  ) {}

  loss(learner: Learner<SceneDiT>, key: RngKey) {
    const { device, model, objective } = learner
    const condition = conditionOf(this.scenes, this.texts, device)
    if (model.proposal) return this.anchoredLoss(learner, model.proposal, condition, key)
    const { data, shape } = this.scenes.sets.grasps
    const poses = device.tensor(data, shape)
    const forward: Predict = (x, t, key) => model.forward(x, t, condition, key && { key })
    return objective.loss(forward, poses, key, this.host(data as Float32Array))
  }

  /** The loss of grasps given from points that they touch, and of telling such points from others. */
  private anchoredLoss(
    { device, model, objective }: Learner<SceneDiT>,
    proposal: AnchorProposal,
    condition: SceneCondition,
    key: RngKey,
  ) {
    const [conditionKey, randomKey, lossKey] = key.split(3)
    const encoded = model.encode(condition, { key: conditionKey })
    const { shape } = this.scenes.sets.grasps
    const [, count] = shape
    const { vectors, anchors } = anchorGrasps(this.scenes)
    const frames = frameTensors(device, anchors)
    const random = randomOf(this.scenes, Math.ceil(RANDOM_SHARE * count), randomKey)
    const others = frameTensors(
      device,
      random.map(({ frames }) => frames),
    )
    const all = model.encodeAnchors(joinedFrames(frames, others), encoded)
    const features = slice(all, 1, 0, count)
    const forward: Predict = (x, t, key) => model.forward(x, t, encoded, { key, anchors: { frames, features } })
    const loss = objective.loss(forward, device.tensor(vectors, shape), lossKey, this.host(vectors))
    const told = proposalLoss(proposal.forward(all, encoded), count, this.named(random.map(({ rows }) => rows)))
    return add(loss, mul(told, PROPOSAL_WEIGHT))
  }

  /** Of each scene's grasps, all of which are at what the text names, and then of points of it: whether it is part of that. */
  private named(rows: readonly Int32Array[]): Uint8Array {
    const [, count] = this.scenes.sets.grasps.shape
    const { data, shape } = this.scenes.fields.named
    const places = rows.map((own, b) => [
      ...new Array<number>(count).fill(1),
      ...Array.from(own, row => data[b * shape[1] + row]),
    ])
    return Uint8Array.from(places.flat())
  }

  /** Noise couples with the grasps of one scene only. */
  private host(values: Float32Array): HostData {
    const [scenes, grasps] = this.scenes.sets.grasps.shape
    const condition = Int32Array.from({ length: scenes * grasps }, (_, row) => Math.floor(row / grasps))
    return { values, rows: scenes * grasps, condition }
  }

  nonFinite(): string | undefined {
    const { points, sets, names } = this.scenes
    for (const [what, { data }] of [
      ['points', points],
      ['grasps', sets.grasps],
    ] as const) {
      const at = data.findIndex(value => !Number.isFinite(value))
      if (at >= 0) return `scene ${names[Math.floor((at * names.length) / data.length)]}: ${what} hold ${data[at]}`
    }
    return undefined
  }
}

/** The scene with noise on its points, as of a depth camera. */
function shaken(scene: Scene, deviation: number, key: RngKey): Scene {
  if (deviation === 0) return scene
  const noise = hostNormal(key, scene.points.length)
  return { ...scene, points: scene.points.map((value, i) => value + deviation * noise[i]) }
}
