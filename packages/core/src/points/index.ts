// Selection of points on the host.

export {
  type HostNeighbourOptions,
  type HostPointOptions,
  hostBallQuery,
  hostFarthestPoints,
  hostNearestPoints,
} from './host'
export type { Neighbours as HostNeighbours } from './nearest'
