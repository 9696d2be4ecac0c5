// Where ditkit keeps what it can make or fetch again.

import { homedir } from 'node:os'
import { join } from 'node:path'

/** A folder of the user's cache, which may not exist yet. */
export function cacheFolder(...parts: string[]): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ditkit', ...parts)
}
