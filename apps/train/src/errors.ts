// An error that a person can act on: the command line prints its message without a stack trace.

export class UserError extends Error {
  override name = 'UserError'
}

/** What to show for any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
