// What a weights file says about itself: everything needed to draw from it, kept in the safetensors metadata.

import { checkConfig } from '../config/load'
import type { Config } from '../config/schema'
import { FIELD } from '../detect/box'
import { messageOf, UserError } from '../errors'
import { packageVersion } from '../package-files'
import type { Format } from '../task/task'

export interface ModelCard {
  readonly run: string
  readonly step: number
  readonly config: Config
  readonly format: Format
}

/** The meaning of the model's input t and of its output, in words, for whoever reads the file elsewhere. */
function convention({ objective, diffusion }: Config): string {
  switch (objective) {
    case 'flow':
      return 'flow matching: x_t = (1 - t) noise + t data, t in [0, 1]; the model takes 1000 t and gives the velocity data - noise'
    case 'ddpm':
      return `diffusion: ${diffusion.steps} steps, betas ${diffusion.schedule}; the model takes t in 0..${diffusion.steps - 1} and gives ${diffusion.target}`
    case 'set-prediction':
      return `set prediction: category logits before the sigmoid, and boxes as centre (shares of a field ${2 * FIELD.half} m wide and ${FIELD.height} m high), log lengths in units of 10 cm, sin and cos of twice the yaw`
  }
}

export function cardMetadata(card: ModelCard): Record<string, string> {
  return {
    format: 'pt',
    'ditkit.version': packageVersion(),
    'ditkit.convention': convention(card.config),
    'ditkit.card': JSON.stringify(card),
  }
}

/** The card of a file's metadata; undefined when ditkit did not write it. */
export function readCard(metadata: ReadonlyMap<string, string>, file: string): ModelCard | undefined {
  const text = metadata.get('ditkit.card')
  if (text === undefined) return undefined
  try {
    const card = JSON.parse(text) as ModelCard
    checkFormat(card.format)
    return { ...card, config: checkConfig(card.config, `${file}: recorded configuration`) }
  } catch (error) {
    throw new UserError(`${file}: its description (ditkit.card) is damaged: ${messageOf(error)}`)
  }
}

function checkFormat(format: Format): void {
  if ('poses' in format) {
    if (format.poses !== 'grasps') throw new Error(`its poses are ${format.poses}, which this version does not know`)
    return
  }
  if ('boxes' in format) {
    if (!Array.isArray(format.boxes)) throw new Error('its categories are missing')
    return
  }
  const { channels, size, classes } = format
  if (!Number.isInteger(channels) || !Number.isInteger(size) || !Array.isArray(classes))
    throw new Error('its image format is incomplete')
}
