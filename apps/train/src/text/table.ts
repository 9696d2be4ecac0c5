// Embeddings of a fixed set of texts, made once.

import { embedTexts, TEXT_WIDTH } from './embed'

export class TextTable {
  private constructor(private readonly known: ReadonlyMap<string, Float32Array>) {}

  /** Throws a UserError that names the object whose text cannot be embedded. */
  static async of(objects: readonly { readonly id: string; readonly text: string }[]): Promise<TextTable> {
    const distinct = [...new Map(objects.map(object => [object.text, object])).values()]
    const values = await embedTexts(
      distinct.map(({ text }) => text),
      distinct.map(({ id }) => `object ${id}: text`),
    )
    return new TextTable(
      new Map(distinct.map(({ text }, i) => [text, values.subarray(i * TEXT_WIDTH, (i + 1) * TEXT_WIDTH)])),
    )
  }

  /** [texts, E]. Throws for a text that the table was not made with. */
  rows(texts: readonly string[]): Float32Array {
    const rows = new Float32Array(texts.length * TEXT_WIDTH)
    for (const [i, text] of texts.entries()) {
      const row = this.known.get(text)
      if (!row) throw new Error(`TextTable: ${JSON.stringify(text)} was not embedded`)
      rows.set(row, i * TEXT_WIDTH)
    }
    return rows
  }
}
