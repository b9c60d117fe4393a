/** `lorikeet bench`: opens what is to be measured, sends the load, and writes what was found. */
import { writeFile } from 'node:fs/promises'
import { openInProcess } from '../bench/load/inProcess.ts'
import { longest } from '../bench/load/lengths.ts'
import { LOAD_SCHEMA, type LoadReport } from '../bench/load/loadReport.ts'
import { defaultScenarios } from '../bench/load/scenarios.ts'
import { openServer } from '../bench/load/server.ts'
import type { Subject } from '../bench/load/subject.ts'
import { type SweepPlan, type SweepStep, sweep } from '../bench/load/sweep.ts'
import { loadHtml } from '../bench/report/loadHtml.ts'
import { loadText } from '../bench/report/loadTable.ts'
import { LorikeetError } from '../errors.ts'
import type { BenchFlags } from './benchFlags.ts'
import { wantedModel } from './embedded.ts'
import { deviceWishOf, sizesOf } from './engineFlags.ts'
import { hostFacts } from './hostFacts.ts'
import type { Terminal } from './serve.ts'

/** Not one request was answered: there is nothing to report. */
export class NothingMeasuredError extends LorikeetError {
  readonly code = 'nothing_measured'

  constructor(reason: string) {
    super(`Not one request was answered: ${reason}`)
  }
}

/** What a bench needs of the process: where text goes, and how it was called. */
export type BenchTerminal = Pick<Terminal, 'stdout' | 'stderr' | 'modelFolders'> & { readonly args: readonly string[] }

/** @throws BenchError, NothingMeasuredError, and what opening the model throws */
export async function bench(flags: BenchFlags, terminal: BenchTerminal): Promise<void> {
  const subject = await open(flags, terminal)
  let report: LoadReport
  try {
    const workload = { isl: flags.isl, osl: flags.osl, pick: flags.pick, seed: flags.seed }
    const plan: SweepPlan = {
      scenarios: subject.scenarios,
      concurrency: flags.concurrency,
      workload,
      requests: (clients) => flags.requests ?? 4 * clients,
      warmup: (clients) => flags.warmup ?? clients,
      rounds: flags.rounds,
    }
    const points = await sweep(plan, (step) => terminal.stderr.write(`${progressLine(step)}\n`))
    report = {
      kind: 'lorikeet bench',
      schema: LOAD_SCHEMA,
      createdAt: new Date().toISOString(),
      command: commandLine(terminal.args),
      host: hostFacts(),
      device: subject.device,
      isSoftware: subject.isSoftware,
      subject: subject.facts,
      workload: { ...workload, ignoreEos: ignoresEos(flags), rounds: flags.rounds },
      notes: [...subject.notes, ...subject.closingNotes()],
      points,
    }
  } finally {
    await subject.close()
  }
  if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify(report, null, 2)}\n`)
  if (flags.html !== undefined) await writeFile(flags.html, loadHtml(report))
  terminal.stdout.write(loadText(report))
  const reason = report.points.flatMap(({ figures }) => figures.errors)[0]?.message
  if (report.points.every(({ figures }) => figures.answered === 0))
    throw new NothingMeasuredError(reason ?? 'none was sent')
}

function open(flags: BenchFlags, terminal: BenchTerminal): Promise<Subject> {
  const wishes = {
    ignoreEos: ignoresEos(flags),
    timeoutMs: flags.timeout * 1000,
    longest: longest(flags.isl) + longest(flags.osl),
  }
  if (flags.url !== undefined) {
    return openServer({
      ...wishes,
      url: flags.url,
      fetch: (url, init) => fetch(url, init),
      endpoint: flags.endpoint === 'chat' ? 'chat/completions' : 'completions',
      apiKey: flags.apiKey ?? null,
      model: flags.model ?? null,
      adapters: flags.adapterNames ?? null,
      maxAdapters: flags.adapters,
      scenarios: flags.scenario ?? null,
    })
  }
  const { model } = wantedModel(flags, terminal)
  const named = flags.loraModules ?? []
  return openInProcess({
    ...wishes,
    open: {
      model,
      adapters: named.map(({ path, ...adapter }) => ({ ...adapter, source: path })),
      gpu: deviceWishOf(flags),
      sizes: sizesOf(flags),
      engine: flags.runAhead === false ? { depth: 1 } : {},
    },
    scenarios: flags.scenario ?? defaultScenarios({ named: named.length > 0, synthetic: flags.adapters > 0 }),
    adapters: flags.adapters,
    ranks: flags.ranks,
  })
}

/** In this process answers have the length that was asked for; a server may not know the field. */
function ignoresEos({ ignoreEos, url }: BenchFlags): boolean {
  return ignoreEos ?? url === undefined
}

function progressLine({ scenario, concurrency, round, done, total }: SweepStep): string {
  const when = round === 'warm-up' ? 'warm-up' : `round ${round + 1}`
  return `[${done + 1}/${total}] ${scenario}, ${concurrency} ${concurrency === 1 ? 'client' : 'clients'}, ${when}`
}

/** As it was typed, for whoever repeats it; a key is left out. */
export function commandLine(args: readonly string[]): string {
  const shown = args.map((arg, i) => {
    if (args[i - 1] === '--api-key') return '…'
    return arg.startsWith('--api-key=') ? '--api-key=…' : arg
  })
  return [
    'lorikeet',
    ...shown.map((arg) => (/^[\w@%+=:,./…-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`)),
  ].join(' ')
}
