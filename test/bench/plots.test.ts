/** What is drawn and tabled of the reports under docs/perf/: the committed files are it, and it says what the reports say. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { documentsOf, PERFORMANCE, PLOTS, REPORTS } from '../../bench/figures/documents.ts'
import { at, numberAt, numbersAt } from '../../bench/support/json.ts'
import { LINES } from '../../bench/support/lines.ts'
import { LINE_HEADERS, lineCells, verdict } from '../../bench/support/lineTable.ts'
import { overPeers } from '../../bench/support/peerReaders.ts'
import { PIECES } from '../../bench/support/pieces.ts'

const readText = (path: string): string | null => (existsSync(path) ? readFileSync(path, 'utf8') : null)
const made = documentsOf(readText)

describe('docs/performance.md and its plots', () => {
  it('are what `npm run plots` makes of the reports', () => {
    for (const [path, text] of made) expect(readText(path), `${path} is old: npm run plots`).toBe(text)
  })

  it('are all there is under docs/plots, and every plot is shown', () => {
    expect(
      readdirSync(PLOTS)
        .map((name) => `${PLOTS}/${name}`)
        .sort(),
    ).toEqual([...made.keys()].filter((path) => path !== PERFORMANCE).sort())
    const text = made.get(PERFORMANCE)!
    for (const name of readdirSync(PLOTS)) expect(text).toContain(`](plots/${name})`)
  })

  it('change with the reports, and only where those are drawn', () => {
    const other = documentsOf((path) => {
      const text = readText(path)
      return path.endsWith('scaling.json') && text ? text.replace(/"msBest": [\d.]+/, '"msBest": 12.5') : text
    })
    const changed = [...made.keys()].filter((path) => other.get(path) !== made.get(path))
    expect(changed.sort()).toEqual([PERFORMANCE, `${PLOTS}/rows.svg`])
  })

  it('leave out what no report tells', () => {
    const bare = documentsOf((path) => (path === PERFORMANCE ? readText(path) : null))
    expect([...bare.keys()]).toEqual([PERFORMANCE])
    const table = bare.get(PERFORMANCE)!.split('<!-- /lines -->')[0]!
    expect(table.match(/not measured here/g)).toHaveLength(LINES.length)
  })

  it('say when the document has no place for a table', () => {
    expect(() => documentsOf((path) => (path === PERFORMANCE ? '# no marks' : null))).toThrow('<!-- lines -->')
  })

  it('are drawings with a title and a description, in both colour schemes, of nothing from elsewhere', () => {
    for (const [path, svg] of made) {
      if (path === PERFORMANCE) continue
      expect(svg).toMatch(/<title id="title">[^<]+<\/title>/)
      expect(svg).toMatch(/<desc id="description">[^<]+<\/desc>/)
      expect(svg).toContain('@media (prefers-color-scheme: dark)')
      expect(svg.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\(|@import|<image|<script/)
      expect(svg).not.toMatch(/NaN|Infinity|undefined|[>"]null[<"]/)
    }
  })
})

describe('a line', () => {
  const aim = { least: 0.9 }

  it.each([
    [{ best: 0.95, median: 0.91 }, 'met'],
    [{ best: 0.95, median: 0.8 }, 'met at best'],
    [{ best: 0.8, median: 0.8, cpu: 0.9 }, 'met by CPU time'],
    [{ best: 0.89, median: 0.7 }, 'short'],
    [{ best: 0.896 }, 'met'], // as it is shown, 0.90
    [{}, 'not measured here'],
    [{ median: null }, 'not measured here'],
  ])('that asks for 0.9 and found %j is %s', (found, wanted) => {
    expect(verdict({ aim }, found)).toBe(wanted)
  })

  it('may ask for a most, for a count, or for nothing', () => {
    expect(verdict({ aim: { most: 1 } }, { median: -0.3 })).toBe('met')
    expect(verdict({ aim: { most: 1 } }, { median: 1.35 })).toBe('short')
    expect(verdict({ aim: { exactly: 1 } }, { exact: 1 })).toBe('met')
    expect(verdict({ aim: { exactly: 1 } }, { exact: 0 })).toBe('short')
    expect(verdict({ aim: null }, { best: 3 })).toBe('stated')
  })

  it('says that its script failed, and why', () => {
    const cells = lineCells(LINES[0]!, 'Error: no device')
    expect(cells).toHaveLength(LINE_HEADERS.length)
    expect(cells).toContain('failed: Error: no device')
  })

  it('belongs to a piece that there is, and every piece but one that is only drawn has some', () => {
    const named = new Set(LINES.map(({ piece }) => piece))
    expect(PIECES.map(({ name }) => name).filter((name) => !named.has(name))).toEqual(['profile'])
    for (const piece of named) expect(PIECES.map(({ name }) => name)).toContain(piece)
    for (const { name, script, isByHand } of PIECES) {
      if (isByHand && !existsSync(`${REPORTS}/${name}.json`)) continue
      expect(existsSync(`bench/${script}.ts`), script).toBe(true)
    }
  })

  it('links a section that the document has', () => {
    const anchors = [...readText(PERFORMANCE)!.matchAll(/^##+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    )
    for (const { section } of LINES) expect(anchors).toContain(section)
  })
})

describe('other runtimes', () => {
  const rate = (median: number) => ({
    tokensPerSecondMedian: median,
    tokensPerSecondBest: 2 * median,
    tokensPerCpuSecond: median,
  })
  const peers = {
    runtimes: { lorikeet: {}, 'llama.cpp Vulkan': {}, 'llama.cpp CPU': {}, ORT: {} },
    'S4 decode, 1 stream': { lorikeet: rate(12), 'llama.cpp Vulkan': rate(4), 'llama.cpp CPU': rate(90), ORT: rate(3) },
    'S5 decode, 4 streams, no adapters': { lorikeet: rate(20), 'llama.cpp Vulkan': rate(8) },
    'S5 decode, 8 streams, no adapters': { lorikeet: rate(24), 'llama.cpp Vulkan': rate(6) },
    'S5 decode, 8 streams, 8 adapters': { lorikeet: rate(20), 'llama.cpp Vulkan': rate(2) },
  }

  it('are held against lorikeet where they compute on the same device', () => {
    expect(overPeers('S4 decode, 1 stream')(peers)).toEqual({ best: 3, median: 3, cpu: 3 })
  })

  it('count with their best batch where adapters are mixed', () => {
    expect(overPeers('S5 decode, 8 streams, 8 adapters')(peers)).toEqual({ best: 2.5, median: 2.5, cpu: 2.5 })
  })

  it('are nothing where they were not measured', () => {
    expect(overPeers('S6 prefill of 512')(peers)).toEqual({ best: null, median: null, cpu: null })
  })

  it('have a plot and a table as soon as there is a report', () => {
    const files = documentsOf((path) => (path.endsWith('/peers.json') ? JSON.stringify(peers) : readText(path)))
    expect(files.get(PERFORMANCE)).toContain('| decoding, 8 streams of 8 adapters | 20 (40) | 2.0 (4.0) |')
    expect(files.get(`${PLOTS}/peers.svg`)).not.toContain('llama.cpp CPU')
  })
})

describe('a report', () => {
  const report = { 'S1 decode, r=16 against base': { best: 0.8, rounds: [1, 2] }, S12: 3, bad: null }

  it('is read by names or their beginnings', () => {
    expect(numberAt(report, 'S1 decode', 'best')).toBe(0.8)
    expect(numbersAt(report, 'S1', 'rounds')).toEqual([1, 2])
    expect(at(report, 'S12')).toBe(3)
  })

  it('has nothing where nothing is', () => {
    expect(numberAt(report, 'S2', 'best')).toBeNull()
    expect(numberAt(report, 'bad', 'best')).toBeNull()
    expect(numbersAt(report, 'S12', 'best')).toEqual([])
  })
})
