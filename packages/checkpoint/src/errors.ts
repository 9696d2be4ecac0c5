// The one error this package throws for anything a file or a caller got wrong.

/** Where an error happened; both parts are put in front of the message. */
export interface CheckpointErrorContext {
  /** Path or other name of the file. */
  file?: string
  /** Name of the tensor inside it. */
  tensor?: string
  cause?: unknown
}

/**
 * A checkpoint that cannot be read or written: malformed, truncated, made to attack, or unsupported. The message names
 * the file and tensor, what was expected, what came, and the way out.
 */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError'
  readonly file?: string
  readonly tensor?: string
  /** The message without file and tensor. */
  readonly detail: string

  constructor(detail: string, { file, tensor, cause }: CheckpointErrorContext = {}) {
    const where = [file, tensor === undefined ? undefined : `tensor ${quote(tensor)}`].filter(
      part => part !== undefined,
    )
    super([...where, detail].join(': '), cause === undefined ? undefined : { cause })
    this.file = file
    this.tensor = tensor
    this.detail = detail
  }
}

/** Text from a file as it may appear in a message: escaped, and cut so that a hostile name cannot flood a log. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}

/** The message of whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
