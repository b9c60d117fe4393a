/**
 * Draws the plots of docs/performance.md and writes its tables out of the reports under docs/perf/: the same files from the
 * same reports, which a test holds them to. What there is to draw: bench/figures/.
 *
 *   npm run plots        (node bench/run.mjs bench/plots.ts)
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { documentsOf, PLOTS } from './figures/documents.ts'

const readText = (path: string): string | null => (existsSync(path) ? readFileSync(path, 'utf8') : null)
mkdirSync(PLOTS, { recursive: true })
for (const [path, text] of documentsOf(readText)) {
  if (readText(path) === text) continue
  writeFileSync(path, text)
  console.log(path)
}
