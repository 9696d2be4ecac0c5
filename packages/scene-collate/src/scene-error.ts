// The error for scenes and files that are not what they should be. It names scene (or file) and field.

export class SceneError extends Error {
  override readonly name = 'SceneError'
  /** Name of the scene or file. */
  readonly scene: string
  /** 'points', 'mask', the name of a field, … */
  readonly field?: string
  /** The message without scene and field. */
  readonly detail: string

  constructor(scene: string, field: string | undefined, detail: string, options?: { cause?: unknown }) {
    super([scene, field, detail].filter(part => part !== undefined && part !== '').join(': '), options)
    this.scene = scene
    this.field = field
    this.detail = detail
  }
}

/** How a scene is called in messages: its name, or its place. */
export function sceneLabel(scene: { readonly name?: string }, index?: number): string {
  if (scene.name) return `scene ${JSON.stringify(scene.name)}`
  return index === undefined ? 'scene' : `scene ${index}`
}
