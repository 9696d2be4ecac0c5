// The JSON header of a safetensors file, parsed strictly. JSON.parse would keep the last of two equal names without a
// word and build whatever a hostile header nests; this parser knows the one shape a header may have.
import { type DType, dtypeFromSafetensors } from '../dtype'
import { CheckpointError, quote } from '../errors'
import { byteCount, MAX_RANK } from '../tensor-record'

/** Largest header accepted, in bytes: the limit of the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000

// The largest models have some ten thousand tensors; a hostile header could name ten million pieces of metadata.
const MAX_MEMBERS = 1_000_000

/** One tensor of a header; `begin` and `end` count bytes from the end of the header. */
export interface HeaderEntry {
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly begin: number
  readonly end: number
}

export interface Header {
  readonly entries: Map<string, HeaderEntry>
  readonly metadata: Map<string, string>
}

/**
 * Parses and checks a header.
 * @param dataBytes bytes that follow the header
 * @throws CheckpointError for bad JSON, duplicate names, unknown dtypes, and offsets that overlap, leave gaps, leave
 * the file or disagree with shape and dtype.
 */
export function parseHeader(text: string, dataBytes: number, file?: string): Header {
  const json = new HeaderScanner(text, file)
  const entries = new Map<string, HeaderEntry>()
  const metadata = new Map<string, string>()
  let hasMetadata = false
  json.object(name => {
    if (name === '__metadata__' ? hasMetadata : entries.has(name))
      throw new CheckpointError(`safetensors header names ${quote(name)} twice: the file is damaged`, { file })
    if (name === '__metadata__') {
      hasMetadata = true
      json.object(key => {
        if (metadata.has(key)) throw new CheckpointError(`safetensors metadata gives ${quote(key)} twice`, { file })
        metadata.set(key, json.string())
      })
    } else {
      entries.set(name, parseEntry(json, name, file))
    }
  })
  json.end()
  checkLayout(entries, dataBytes, file)
  return { entries, metadata }
}

function parseEntry(json: HeaderScanner, tensor: string, file?: string): HeaderEntry {
  const context = { file, tensor }
  const seen = new Set<string>()
  let code = ''
  let shape: number[] = []
  let offsets: number[] = []
  json.object(key => {
    if (seen.has(key)) throw new CheckpointError(`safetensors header gives ${quote(key)} twice`, context)
    seen.add(key)
    if (key === 'dtype') code = json.string()
    else if (key === 'shape') shape = json.integers(MAX_RANK)
    else if (key === 'data_offsets') offsets = json.integers(2)
    else throw new CheckpointError(`safetensors header has unknown key ${quote(key)}`, context)
  })
  for (const key of ['dtype', 'shape', 'data_offsets'])
    if (!seen.has(key)) throw new CheckpointError(`safetensors header lacks ${quote(key)}`, context)
  const dtype = dtypeFromSafetensors(code)
  if (dtype === undefined) throw new CheckpointError(`dtype ${quote(code)} is not supported`, context)
  const [begin, end] = offsets
  if (begin === undefined || end === undefined || begin > end)
    throw new CheckpointError(`data_offsets must be [begin, end], got [${offsets.join(', ')}]`, context)
  const bytes = byteCount(shape, dtype, context)
  if (end - begin !== bytes) {
    const expected = `${dtype} [${shape.join(', ')}] takes ${bytes} bytes`
    throw new CheckpointError(`${expected}, but data_offsets [${begin}, ${end}] span ${end - begin}`, context)
  }
  return { shape, dtype, begin, end }
}

// As the format demands: tensors follow each other without overlap or gap, and end where the file ends.
function checkLayout(entries: Map<string, HeaderEntry>, dataBytes: number, file?: string): void {
  const ordered = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let at = 0
  for (const [tensor, { begin, end }] of ordered) {
    const offsets = `data_offsets [${begin}, ${end}]`
    if (end > dataBytes) {
      const has = `${offsets} leave the file, which has ${dataBytes} bytes of data`
      throw new CheckpointError(`${has}: it is truncated or damaged, fetch it again`, { file, tensor })
    }
    if (begin !== at) {
      const what = begin < at ? 'overlap another tensor' : 'leave a gap'
      throw new CheckpointError(`${offsets} ${what}: expected to begin at ${at}`, { file, tensor })
    }
    at = end
  }
  if (at !== dataBytes) {
    const counts = `tensors end at byte ${at} of the data, but the file holds ${dataBytes}`
    throw new CheckpointError(`${counts}: it has trailing bytes or a damaged header`, { file })
  }
}

// Escapes, and the control characters that JSON forbids.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NEEDS_PARSING = /[\\\u0000-\u001f]/

// A JSON reader for string -> string, string -> object and integer lists only; never recursive.
class HeaderScanner {
  private at = 0

  constructor(
    private readonly text: string,
    private readonly file?: string,
  ) {}

  /** `{ "key": <what `member` reads>, ... }` */
  object(member: (key: string) => void): void {
    this.expect('{')
    if (this.accept('}')) return
    let members = 0
    do {
      if (++members > MAX_MEMBERS) this.fail(`at most ${MAX_MEMBERS} members`)
      const key = this.string()
      this.expect(':')
      member(key)
    } while (this.accept(','))
    this.expect('}')
  }

  /** `[1, 2, ...]` of at most `limit` non-negative integers. */
  integers(limit: number): number[] {
    const values: number[] = []
    this.expect('[')
    if (this.accept(']')) return values
    do {
      if (values.length === limit) this.fail(`at most ${limit} integers`)
      values.push(this.integer())
    } while (this.accept(','))
    this.expect(']')
    return values
  }

  string(): string {
    this.space()
    const start = this.at
    if (this.text[start] !== '"') this.fail('a string')
    let end = start
    do end = this.text.indexOf('"', end + 1)
    while (end > 0 && this.isEscaped(end))
    if (end < 0) this.fail('the end of a string')
    this.at = end + 1
    const inner = this.text.slice(start + 1, end)
    if (!NEEDS_PARSING.test(inner)) return inner
    try {
      return JSON.parse(`"${inner}"`) as string
    } catch {
      this.at = start
      return this.fail('a valid JSON string')
    }
  }

  // A quote ends a string unless an odd number of backslashes stands before it.
  private isEscaped(at: number): boolean {
    let backslashes = 0
    while (this.text[at - 1 - backslashes] === '\\') backslashes++
    return backslashes % 2 === 1
  }

  end(): void {
    this.space()
    if (this.at !== this.text.length) this.fail('the end of the header')
  }

  private integer(): number {
    this.space()
    const start = this.at
    while (this.at < this.text.length && this.text[this.at]! >= '0' && this.text[this.at]! <= '9') this.at++
    const digits = this.text.slice(start, this.at)
    const value = Number(digits)
    if (digits === '' || (digits.length > 1 && digits[0] === '0') || !Number.isSafeInteger(value)) {
      this.at = start
      this.fail('a non-negative integer below 2^53')
    }
    return value
  }

  private accept(char: string): boolean {
    this.space()
    if (this.text[this.at] !== char) return false
    this.at++
    return true
  }

  private expect(char: string): void {
    if (!this.accept(char)) this.fail(quote(char))
  }

  private space(): void {
    while (this.at < this.text.length && ' \t\n\r'.includes(this.text[this.at]!)) this.at++
  }

  private fail(expected: string): never {
    const got = this.at < this.text.length ? quote(this.text.slice(this.at, this.at + 20)) : 'its end'
    const where = `safetensors header, character ${this.at}: expected ${expected}, got ${got}`
    throw new CheckpointError(`${where}: not a safetensors file, or a damaged one`, { file: this.file })
  }
}
