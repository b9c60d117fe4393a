/** `lorikeet bench` as a whole: a model in this process, and a server over a port, with tiny loads. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LoadReport } from '../../src/bench/load/loadReport.ts'
import { bench, commandLine, NothingMeasuredError } from '../../src/cli/bench.ts'
import type { BenchFlags } from '../../src/cli/benchFlags.ts'
import { createProgram } from '../../src/cli/program.ts'
import { serve as listen } from '../../src/hosts/node/serve.ts'
import { Lorikeet } from '../../src/lorikeet.ts'
import { reference } from '../fixtures.ts'

const MODEL = reference('models/llama-tiny')
const ADAPTERS = ['r1', 'r5'].map((name) => `${name}=${reference(`adapters/llama-tiny/${name}`)}`)
const SIZES = ['--kv-cache-memory', '2MiB', '--lora-memory', '8MiB', '--max-num-batched-tokens', '64']
const TINY = ['--isl', '4:6', '--osl', '3', '--concurrency', '1,3', '--requests', '4', '--rounds', '2']

let root = ''
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'lorikeet-bench-'))
})
afterAll(() => rmSync(root, { recursive: true }))

/** Types the command line; what it says and writes. */
async function run(...args: string[]): Promise<{ out: string; err: string; report: LoadReport; html: string }> {
  const said = { out: '', err: '' }
  const stream = (name: 'out' | 'err') =>
    ({
      isTTY: false,
      write(text: string) {
        said[name] += text
        return true
      },
    }) as unknown as NodeJS.WriteStream
  const [json, html] = [join(root, 'report.json'), join(root, 'report.html')]
  const all = ['bench', ...args, '--json', json, '--html', html]
  let flags: BenchFlags | null = null
  const program = createProgram({
    serve: async () => {},
    benchKernels: async () => {},
    doctor: async () => {},
    bench: async (given) => {
      flags = given
    },
  })
  await program.parseAsync(all, { from: 'user' })
  await bench(flags!, { modelFolders: [], stdout: stream('out'), stderr: stream('err'), args: all })
  return { ...said, report: JSON.parse(readFileSync(json, 'utf8')), html: readFileSync(html, 'utf8') }
}

describe('in this process', () => {
  it('measures the base, an adapter folded into it, one beside it, many of one rank and of several', async () => {
    const { out, err, report, html } = await run(
      '--model',
      MODEL,
      ...SIZES,
      ...TINY,
      '--adapters',
      '3',
      '--ranks',
      '4,8',
    )
    const points = report.points.map(({ scenario, concurrency, figures }) => [scenario, concurrency, figures.answered])
    expect(points).toEqual(
      ['base', 'merged', 'single', 'same-rank', 'mixed-ranks'].flatMap((name) =>
        [1, 3].map((clients) => [name, clients, 8]),
      ),
    )
    for (const { figures, counts, warmUp, concurrency } of report.points) {
      expect(figures.errors).toEqual([])
      expect(figures.outputTokens).toMatchObject({ min: 3, max: 3 })
      expect(figures.promptTokens!.min).toBeGreaterThanOrEqual(4)
      expect(figures.promptTokens!.max).toBeLessThanOrEqual(6)
      expect(figures.ttft!.count).toBe(8)
      expect(figures.e2e!.min).toBeGreaterThanOrEqual(figures.ttft!.min)
      expect(figures.rounds).toHaveLength(2)
      // Three tokens of an answer are three steps at least; eight answers by one client are 24.
      expect(counts!.steps).toBeGreaterThanOrEqual(24 / concurrency)
      expect(warmUp).toMatchObject({ requests: concurrency, failed: 0 })
    }
    // The points of the base, and of the base that an adapter was folded into, are without adapters' dispatches.
    const perStep = report.points.map(({ counts }) => counts!.dispatches! / counts!.steps!)
    expect(Math.max(...perStep.slice(0, 4))).toBeLessThan(Math.min(...perStep.slice(4)))
    expect(Math.abs(perStep[2]! / perStep[0]! - 1)).toBeLessThan(0.05)
    expect(report.device).toMatchObject({ software: report.isSoftware })
    expect(report.command).toContain('lorikeet bench --model')
    expect(out).toContain('mixed-ranks')
    expect(err).toContain('[1/30] base, 1 client, warm-up')
    expect(html).toContain('</html>')
  })

  it('measures the adapters that are named, and the first of them folded into the base', async () => {
    const { report } = await run(
      ...['--model', MODEL, ...SIZES, ...TINY, '--rounds', '1', '--concurrency', '2'],
      ...['--scenario', 'base,merged,adapters', '--pick', 'round-robin', '--lora-modules', ...ADAPTERS],
    )
    expect(report.points.map(({ scenario, models }) => [scenario, models])).toEqual([
      ['base', 1],
      ['merged', 1],
      ['adapters', 2],
    ])
    const [base, merged, adapters] = report.points.map(({ counts }) => counts!.dispatches! / counts!.steps!)
    expect(merged).toBe(base)
    expect(adapters).toBeGreaterThan(base!)
  })

  it('says that it left out what it cannot do', async () => {
    // Before its invocation the base answers: such an adapter is more than other weights.
    const alora = `alora=${reference('adapters/llama-tiny/alora')}`
    const { report } = await run(
      ...['--model', MODEL, ...SIZES, ...TINY, '--rounds', '1', '--concurrency', '2', '--scenario', 'merged,base'],
      ...['--lora-modules', alora],
    )
    expect(report.points.map(({ scenario }) => scenario)).toEqual(['base'])
    expect(report.notes.join()).toMatch(/merged was left out: .*invocation/)
  })

  it('refuses lengths that the model cannot take, and adapters that are not there', async () => {
    await expect(run('--model', MODEL, ...SIZES, '--isl', '100000')).rejects.toThrow(/--isl: .* Lower --isl or --osl/)
    await expect(run('--model', MODEL, ...SIZES, '--scenario', 'adapters')).rejects.toThrow(/--lora-modules/)
  })
})

describe('a server', () => {
  it('is measured over its port, with the adapters it serves', async () => {
    const bird = await Lorikeet.open({
      model: MODEL,
      adapters: [{ name: 'pirate', source: reference('adapters/llama-tiny/r1') }],
      sizes: { kvCacheMemory: 2 ** 21, loraMemory: 2 ** 22, maxNumBatchedTokens: 64 },
    })
    const server = await listen((request) => bird.fetch(request), { host: '127.0.0.1', port: 0 })
    try {
      const { report, out } = await run('--url', server.url, ...TINY, '--ignore-eos', '--rounds', '1')
      expect(report.points.map(({ scenario, figures }) => [scenario, figures.answered])).toEqual(
        ['base', 'single', 'adapters'].flatMap((name) => [
          [name, 4],
          [name, 4],
        ]),
      )
      expect(report.points.every(({ figures }) => figures.outputTokens!.min === 3)).toBe(true)
      expect(report.subject).toMatchObject({ server: server.url, model: 'llama-tiny' })
      expect(report.device).toBeNull()
      expect(out).toContain('Prompts are texts of common words')
      // A model that is not served: every request is an error, and there is nothing to report.
      const wrong = run('--url', server.url, ...TINY, '--rounds', '1', '--model', 'nobody', '--scenario', 'base')
      await expect(wrong).rejects.toThrow(NothingMeasuredError)
    } finally {
      await server.close()
      await bird.close()
    }
  })
})

describe('the command line of a report', () => {
  it('can be typed again, and holds no key', () => {
    expect(commandLine(['bench', '--api-key', 'k', '--isl', 'normal:64,16', '--model', './a b'])).toBe(
      "lorikeet bench --api-key … --isl normal:64,16 --model './a b'",
    )
    expect(commandLine(['bench', '--api-key=k'])).toBe('lorikeet bench --api-key=…')
  })
})
