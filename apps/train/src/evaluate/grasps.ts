// Judges drawn grasps on objects that training never saw: how many hold on the true mesh, how well they cover the derived
// ones, beside random surface grasps and the same model shown another object's scene; and whether the text chooses.

import { rngKey } from '@ditkit/core'
import type { Scene } from '@ditkit/scene-collate'
import type { ObjectsConfig } from '../config/schema'
import { type HouseholdObject, loadObjects } from '../data/objects/objects'
import { sceneOf } from '../data/objects/tabletop'
import { UserError } from '../errors'
import { drawGrasps } from '../grasp/draw'
import { type GraspScene, gradeGrasp, onTable } from '../grasp/grade'
import { type GraspPose, POSE_SIZE, readPose } from '../grasp/pose'
import { randomSurfaceGrasps } from '../grasp/random-grasp'
import { GraspScenes, type Layout } from '../grasp/scenes'
import { poseDistance } from '../grasp/spread'
import type { TrainedGrasps } from '../model/trained'
import { makeObjective } from '../objective/objective'
import { startProgress } from '../report/progress'
import { TextTable } from '../text/table'
import { writeResult } from './write-result'

/** Grasps drawn for each object. */
const DRAWN = 64
/** A derived grasp is covered by a drawn one that holds and is at most so far from it (see `poseDistance`), metres. */
const COVERED = 0.03
/** Tables of several objects on which texts are compared. */
const TABLES = 32
const MOST_TRIES = 8 * TABLES
const KEY = rngKey(31_337)

interface ObjectResult {
  readonly id: string
  readonly text: string
  /** Shares of drawn grasps that hold. */
  readonly holds: number
  readonly random: number
  readonly wrong_scene: number
  /** Share of the derived grasps that a drawn one covers. */
  readonly coverage: number
  /** Mean distance from a drawn grasp to the nearest derived one, metres (a turn of a radian counts as 0.05). */
  readonly nearest: number
}

export async function evaluateGrasps(trained: TrainedGrasps, out: string): Promise<void> {
  const { config, path } = trained
  if (config.data.kind !== 'objects') throw new UserError(`${path} was trained on ${config.data.kind}, not on objects`)
  const unseen = loadObjects(config.data).filter(({ entry }) => entry.split === 'held-out')
  const judged = unseen.filter(({ entry }) => entry.grasps > 0)
  const table = await TextTable.of(unseen)
  const options = { ...config.data, mostObjects: config.data.most_objects, stretch: 1 }
  const alone = new GraspScenes(judged, { ...options, several: 0 }, KEY)
  const scenes = judged.map((_, i) => alone.scene(i, KEY.foldIn(i)))
  const texts = table.rows(judged.map(({ text }) => text))
  const right = await draw(trained, 'Grasping held-out objects', scenes, texts)
  const next = (i: number) => (i + 1) % judged.length
  const wrong = await draw(
    trained,
    'Grasping after another scene',
    scenes.map((_, i) => scenes[next(i)]),
    texts,
  )
  const objects = judged.map((object, i) => judge(object, right[i], wrong[i]))
  const text = await judgeText(trained, unseen, config.data, table)
  const result = { run: trained.run, model: path, grasps_per_object: DRAWN, ...means(objects), text, objects }
  print(result)
  await writeResult(out, result)
}

async function draw(
  trained: TrainedGrasps,
  title: string,
  scenes: readonly Scene[],
  texts: Float32Array,
): Promise<GraspPose[][]> {
  const progress = startProgress(title, scenes.length, 'scenes')
  const objective = makeObjective(trained.config)
  const drawn = await drawGrasps({ ...trained, objective, scenes, texts, count: DRAWN, key: KEY, progress })
  progress.stop()
  return drawn.map(vectors => Array.from({ length: DRAWN }, (_, g) => readPose(vectors, g * POSE_SIZE)))
}

function judge(object: HouseholdObject, drawn: readonly GraspPose[], wrong: readonly GraspPose[]): ObjectResult {
  const scene = onTable(object.bvh)
  const surface = object.sample(DRAWN, KEY)
  const holding = drawn.filter(pose => gradeGrasp(scene, pose).holds)
  const nearestTo = (pose: GraspPose, others: readonly GraspPose[]) =>
    others.reduce((least, other) => Math.min(least, poseDistance(pose, other)), Infinity)
  const covered = object.grasps.filter(grasp => nearestTo(grasp, holding) <= COVERED)
  return {
    id: object.id,
    text: object.text,
    holds: holding.length / drawn.length,
    random: shareHolding(scene, randomSurfaceGrasps(surface.points, surface.normals, KEY)),
    wrong_scene: shareHolding(scene, wrong),
    coverage: covered.length / object.grasps.length,
    nearest: mean(drawn.map(pose => nearestTo(pose, object.grasps)).filter(Number.isFinite)),
  }
}

/** On tables of several objects: the share of grasps nearest to the object that is named, and to the same one when another is. */
async function judgeText(
  trained: TrainedGrasps,
  objects: readonly HouseholdObject[],
  settings: ObjectsConfig,
  table: TextTable,
) {
  const several = new GraspScenes(
    objects,
    { ...settings, mostObjects: settings.most_objects, several: 1, stretch: 1 },
    KEY.foldIn(1),
  )
  const layouts: { i: number; layout: Layout }[] = []
  // Where no grasp holds among the others, an object stands alone.
  for (let i = 0; layouts.length < TABLES && i < MOST_TRIES; i++) {
    const layout = several.layout(i)
    if (layout.placed.length > 1) layouts.push({ i, layout })
  }
  const scenes = layouts.map(({ i }) => several.scene(i, KEY.foldIn(i)))
  const other = ({ placed, target }: Layout) => (target + 1) % placed.length
  const textOf = ({ placed }: Layout, index: number) => placed[index].object.text
  const named = await draw(
    trained,
    'Grasping the object named',
    scenes,
    table.rows(layouts.map(({ layout }) => textOf(layout, layout.target))),
  )
  const unnamed = await draw(
    trained,
    'Grasping another',
    scenes,
    table.rows(layouts.map(({ layout }) => textOf(layout, other(layout)))),
  )
  const share = (drawn: GraspPose[][]) =>
    mean(
      layouts.map(
        ({ layout }, i) => drawn[i].filter(pose => nearestObject(layout, pose) === layout.target).length / DRAWN,
      ),
    )
  const holding = mean(layouts.map(({ layout }, i) => shareHolding(sceneOf(layout.placed), named[i])))
  return {
    tables: layouts.length,
    holds: holding,
    at_object_named: share(named),
    at_it_when_another_is_named: share(unnamed),
  }
}

/** Index of the object whose bounds, seen from above, are nearest to a grasp. */
function nearestObject({ placed }: Layout, { position: [x, y] }: GraspPose): number {
  const distances = placed.map(({ object: { entry }, yaw, position: [ox, oy] }) => {
    const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)]
    const beyond = (along: number, axis: 0 | 1) => Math.max(0, entry.low[axis] - along, along - entry.high[axis])
    return Math.hypot(beyond(cos * (x - ox) + sin * (y - oy), 0), beyond(cos * (y - oy) - sin * (x - ox), 1))
  })
  return distances.indexOf(Math.min(...distances))
}

function shareHolding(scene: GraspScene, poses: readonly GraspPose[]): number {
  return poses.filter(pose => gradeGrasp(scene, pose).holds).length / poses.length
}

const FIGURES = ['holds', 'random', 'wrong_scene', 'coverage', 'nearest'] as const

function means(objects: readonly ObjectResult[]): Record<(typeof FIGURES)[number], number> {
  return Object.fromEntries(FIGURES.map(name => [name, mean(objects.map(object => object[name]))])) as Record<
    (typeof FIGURES)[number],
    number
  >
}

function print(
  result: ReturnType<typeof means> & { text: Awaited<ReturnType<typeof judgeText>>; objects: readonly ObjectResult[] },
): void {
  const row = (name: string, { holds, random, wrong_scene, coverage, nearest }: ReturnType<typeof means>) =>
    [
      name.slice(0, 30).padEnd(30),
      ...[holds, random, wrong_scene, coverage].map(share => percent(share).padStart(12)),
      `${(nearest * 1000).toFixed(0)} mm`.padStart(10),
    ].join('')
  console.log(
    `\n${['held-out object'.padEnd(30), 'hold', 'random', 'wrong scene', 'coverage'].map((name, i) => (i ? name.padStart(12) : name)).join('')}${'nearest'.padStart(10)}`,
  )
  for (const object of result.objects) console.log(row(object.text, object))
  console.log(row('all', result))
  const { tables, holds, at_object_named, at_it_when_another_is_named } = result.text
  console.log(
    `\nOn ${tables} tables of several objects ${percent(holds)} hold; ${percent(at_object_named)} are at the object that is named, ` +
      `${percent(at_it_when_another_is_named)} at it when another is named.\n`,
  )
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length)
