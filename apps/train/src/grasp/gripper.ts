// The parallel-jaw gripper of the grasp recipe: three boxes with the proportions of a Franka hand.
// Its frame has the grasp centre (the point half way between the finger pads) as origin, x along the approach, y along
// the closing axis and z = x × y across the fingers.

/** Sizes in metres. */
export interface Gripper {
  /** Largest distance between the two finger pads. */
  readonly maxOpening: number
  /** A finger's extent along the closing axis, away from the object. */
  readonly fingerThickness: number
  /** A finger's extent across, along z. */
  readonly fingerWidth: number
  /** How far the finger tips reach beyond the grasp centre, along the approach. */
  readonly tipReach: number
  /** From the grasp centre back to the palm; the fingers are tipReach + palmDistance long. */
  readonly palmDistance: number
  /** The palm's extents along the approach, the closing axis and across. */
  readonly palm: readonly [number, number, number]
  /** The gripper comes straight along the approach for at least this far; what it would push over is a collision. */
  readonly approachDistance: number
  /** Coulomb friction between a finger and an object. */
  readonly friction: number
}

export const PARALLEL_JAW: Gripper = {
  maxOpening: 0.08,
  fingerThickness: 0.012,
  fingerWidth: 0.02,
  tipReach: 0.009,
  palmDistance: 0.045,
  palm: [0.066, 0.204, 0.063],
  approachDistance: 0.1,
  friction: 0.5,
}

/** An axis-aligned box in the gripper's frame: [x0, y0, z0, x1, y1, z1]. */
export type Box = readonly [number, number, number, number, number, number]

/** The palm with the room it needs while approaching. */
export function palmBox({ palm: [length, width, height], palmDistance, approachDistance }: Gripper): Box {
  return [-palmDistance - length - approachDistance, -width / 2, -height / 2, -palmDistance, width / 2, height / 2]
}

/** Both fingers `opening` apart and everything between them. */
export function fingerBox({ fingerThickness, fingerWidth, tipReach, palmDistance }: Gripper, opening: number): Box {
  const outer = opening / 2 + fingerThickness
  return [-palmDistance, -outer, -fingerWidth / 2, tipReach, outer, fingerWidth / 2]
}
