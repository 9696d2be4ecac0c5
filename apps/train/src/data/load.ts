// Chooses the image data set a configuration asks for.

import type { ImageDataConfig } from '../config/schema'
import { loadBlobs } from './blobs'
import type { Dataset } from './dataset'
import { loadImages } from './images'
import { loadMnist } from './mnist'
import { loadRandom } from './random'

export async function loadDataset(config: ImageDataConfig, warn: (line: string) => void): Promise<Dataset> {
  switch (config.kind) {
    case 'mnist':
      return loadMnist(config)
    case 'blobs':
      return loadBlobs(config)
    case 'images':
      return loadImages(config, warn)
    case 'random':
      return loadRandom(config)
  }
}
