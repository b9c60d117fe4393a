/** Rows of an embedding table. */

/** @param table [tokens, hidden] */
export function embedReference(table: ArrayLike<number>, hidden: number, tokens: readonly number[]): Float32Array {
  return Float32Array.from({ length: tokens.length * hidden }, (_, i) => {
    return table[tokens[Math.floor(i / hidden)]! * hidden + (i % hidden)]!
  })
}
