// The task of a configuration, with its data loaded.

import type { Config } from '../config/schema'
import { loadDataset } from '../data/load'
import { DetectTask } from './detect'
import { GraspTask } from './grasps'
import { ImageTask } from './images'
import type { Task } from './task'

/** `warn` receives what was left out of the data. */
export async function openTask(config: Config, warn: (line: string) => void): Promise<Task> {
  const { data } = config
  if (data.kind === 'objects') return GraspTask.open(data, warn)
  if (data.kind === 'tabletop') return new DetectTask(data, config.detect, warn)
  return new ImageTask(await loadDataset(data, warn))
}
