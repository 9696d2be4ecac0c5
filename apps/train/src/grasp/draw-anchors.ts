// Which points of a scene grasps are drawn from: the model's distribution over points of it.

import { add, detach, log, noGrad, type RngKey, scope, sigmoid, slice } from '@ditkit/core'
import type { Anchors, EncodedCondition, PoseFrames, SceneDiT } from '@ditkit/dit-model'
import type { PaddedBatch } from '@ditkit/scene-collate'
import { AnchorFrames, drawRows } from './anchor'
import { drawnOf, frameTensors } from './anchored-batch'

/** Points of a scene that are judged, and how many at a time. */
const JUDGED = 512
const AT_ONCE = 64
/** Keeps the logarithm of a chance finite. */
const LEAST = 1e-6

export interface DrawnAnchors {
  readonly frames: readonly AnchorFrames[]
  /** The same on the device, with what they know of themselves. */
  readonly anchors: Anchors
}

/** A scene, and a text where `named`: without one all of the scene is meant. */
export interface Told {
  readonly encoded: EncodedCondition
  readonly named: boolean
}

export interface DrawAnchorsOptions {
  readonly condition: Told
  /** What guidance leads away from; left out, the points are drawn as the condition has them. */
  readonly against?: Told | undefined
  /** u + s·(c − u) of the logits. */
  readonly guidance: number
  readonly temperature: number
  /** Anchors of each scene. */
  readonly count: number
  /** The number of the batch's first scene: what is drawn for a scene goes by its number. */
  readonly first: number
}

/** Anchors for each scene; the caller frees the tensors. */
export async function drawAnchors(
  model: SceneDiT,
  batch: PaddedBatch,
  options: DrawAnchorsOptions,
  key: RngKey,
): Promise<DrawnAnchors> {
  const { condition, against, guidance, temperature, count, first } = options
  const [pointKey, drawKey] = key.split(2)
  const { device } = model
  const judged = drawnOf(batch, JUDGED, pointKey, first)
  const candidates = frameTensors(device, judged)
  const logits = await judge(model, candidates, condition, judged.length)
  if (against && guidance !== 1) {
    const less = await judge(model, candidates, against, judged.length)
    for (const [b, row] of logits.entries())
      for (const [i, value] of row.entries()) row[i] = less[b][i] + guidance * (value - less[b][i])
  }
  for (const tensor of Object.values(candidates)) tensor.dispose()
  const frames = judged.map((each, b) => {
    const drawn = new AnchorFrames(count)
    for (const [g, row] of drawRows(logits[b], count, temperature, drawKey.foldIn(first + b)).entries())
      drawn.copy(g, each, row)
    return drawn
  })
  const tensors = frameTensors(device, frames)
  const features = scope(() => noGrad(() => model.encodeAnchors(tensors, condition.encoded)))
  return { frames, anchors: { frames: tensors, features } }
}

/** The model's logits of each scene's candidates. */
async function judge(
  model: SceneDiT,
  candidates: Required<PoseFrames>,
  { encoded, named: naming }: Told,
  scenes: number,
): Promise<Float32Array[]> {
  const logits = Array.from({ length: scenes }, () => new Float32Array(JUDGED))
  for (let start = 0; start < JUDGED; start += AT_ONCE) {
    const part = scope(() =>
      noGrad(() => {
        const positions = slice(candidates.positions, 1, start, start + AT_ONCE)
        const rotations = slice(candidates.rotations, 1, start, start + AT_ONCE)
        const features = model.encodeAnchors({ positions, rotations }, encoded)
        const { shape, named } = model.proposal!.forward(features, encoded)
        // Places that suit, and that are part of what the text names: the product of the two chances.
        return naming ? add(shape, log(add(sigmoid(named), LEAST))) : detach(shape)
      }),
    )
    const values = (await part.data()) as Float32Array
    for (const [b, row] of logits.entries()) row.set(values.subarray(b * AT_ONCE, (b + 1) * AT_ONCE), start)
    part.dispose()
  }
  return logits
}
