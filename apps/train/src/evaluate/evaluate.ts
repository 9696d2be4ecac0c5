// ditkit eval MODEL [--out FOLDER]
//
// Judges what a trained model draws: digits by a classifier, grasps by closing a gripper on the true mesh, boxes by where the objects are.

import { openTrained } from '../model/trained'
import { evaluateBoxes } from './boxes'
import { evaluateDigits } from './digits'
import { evaluateGrasps } from './grasps'

export interface EvaluateRequest {
  /** A run's name, or the path of a model file or checkpoint folder. */
  readonly model: string
  readonly out: string
  readonly overrides: readonly string[]
}

export async function evaluate({ model, out, overrides }: EvaluateRequest): Promise<void> {
  const trained = await openTrained(model, out, overrides)
  try {
    if (trained.kind === 'images') await evaluateDigits(trained, out)
    else if (trained.kind === 'grasps') await evaluateGrasps(trained, out)
    else await evaluateBoxes(trained, out)
  } finally {
    trained.device.dispose()
  }
}
