/**
 * How what browsers load is made small. A library build keeps white space for the sake of bundlers' tree shaking marks;
 * here few are left. Classes keep their names: errors are called by them.
 */
export const MINIFY = {
  compress: true,
  mangle: { keepNames: { function: false, class: true } },
  codegen: { removeWhitespace: true },
} as const

interface Chunk {
  readonly name: string
  readonly tags?: ['$initial']
  readonly minShareCount?: number
  readonly test?: RegExp
  readonly priority: number
}

/**
 * What entries and lazy parts need at the start is one chunk, and not one for every set of parts that have it in common: two dozen
 * small files, each of which would have to be fetched before anything runs. What the first adapter needs is another.
 */
export function chunksOf(numEntries: number): { groups: Chunk[] } {
  return {
    groups: [
      { name: 'engine', tags: ['$initial'], minShareCount: numEntries, priority: 2 },
      { name: 'adapters', test: /[\\/](readAdapter|uploading|adapterTexts)\.ts$/, priority: 1 },
    ],
  }
}
