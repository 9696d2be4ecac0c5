// Triangle meshes as the readers give them.

export interface Mesh {
  /** For messages. */
  readonly name?: string
  /** [V, 3] */
  readonly vertices: Float32Array
  /** [F, 3] vertex numbers from 0; polygons come as triangles. */
  readonly faces: Int32Array
  /** Runs of faces with a name of their own, in order (OBJ's groups and objects). */
  readonly groups?: readonly FaceGroup[]
}

export interface FaceGroup {
  readonly name: string
  /** The group is faces `first` … `first + count − 1`. */
  readonly first: number
  readonly count: number
}
