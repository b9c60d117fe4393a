/**
 * `lorikeet doctor`: what a user runs when something is wrong. The device is examined in a process of its own, for a driver
 * that is broken takes its process down; what is left to say then, this one says.
 */
import { spawn } from 'node:child_process'
import { type Attempt, diagnose } from '../bench/doctor/diagnosis.ts'
import { DOCTOR_SCHEMA, type DoctorReport } from '../bench/doctor/doctorReport.ts'
import { examine } from '../bench/doctor/examination.ts'
import { tryModel } from '../bench/doctor/modelTrial.ts'
import { doctorText } from '../bench/report/doctorText.ts'
import { NoGpuError } from '../gpu/errors.ts'
import { currentHost } from '../hosts/current.ts'
import type { BenchTerminal } from './bench.ts'
import type { DoctorFlags } from './doctorFlags.ts'
import { driverCaches, driverFacts } from './drivers.ts'
import { embeddedModel } from './embedded.ts'
import { deviceWishOf } from './engineFlags.ts'
import { hostFacts } from './hostFacts.ts'
import type { Terminal } from './serve.ts'

/** The process, and how it was started. */
export interface DoctorTerminal extends BenchTerminal {
  readonly env: Terminal['env']
  /** What Node is called with to run this program again. */
  readonly self: readonly string[]
}

/** Exit code: 0 where lorikeet can run. */
export async function doctor(flags: DoctorFlags, terminal: DoctorTerminal): Promise<number> {
  const onPhase = (phase: string): void => void terminal.stderr.write(`${PHASE}${phase}\n`)
  if (flags.examine) {
    terminal.stdout.write(`${JSON.stringify(await attempt(flags, terminal, onPhase))}\n`)
    return 0
  }
  // Deno is told what a process may do when it is started, and that cannot be asked for.
  const found = 'Deno' in globalThis ? await attempt(flags, terminal, onPhase) : await attemptApart(terminal)
  const findings = diagnose(found, driverFacts(terminal.env, process.platform))
  const report: DoctorReport = {
    kind: 'lorikeet doctor',
    schema: DOCTOR_SCHEMA,
    createdAt: new Date().toISOString(),
    host: hostFacts(),
    attempt: found,
    caches: driverCaches(terminal.env, process.platform),
    findings,
    canRun: findings.every(({ severity }) => severity !== 'problem'),
  }
  terminal.stdout.write(flags.json ? `${JSON.stringify(report, null, 2)}\n` : doctorText(report))
  return report.canRun ? 0 : 1
}

/** Before the name of a phase on the error stream of the child. */
const PHASE = 'examining: '

/** Examines the device and tries the model in this process. */
export async function attempt(
  flags: DoctorFlags,
  { modelFolders }: Pick<BenchTerminal, 'modelFolders'>,
  onPhase: (phase: string) => void,
): Promise<Attempt> {
  try {
    onPhase('opening the device')
    const host = await currentHost()
    const gpu = await host.openGpu(deviceWishOf(flags))
    const examination = await examine(gpu, onPhase).finally(() => gpu.close())
    const model = flags.model ?? embeddedModel(modelFolders)?.model
    if (model === undefined || examination.failure) return { kind: 'examined', examination, model: null }
    onPhase(`the model ${model}`)
    return { kind: 'examined', examination, model: await tryModel(model, { model, gpu: deviceWishOf(flags) }) }
  } catch (error) {
    if (error instanceof NoGpuError) return { kind: 'no device', message: error.message }
    throw error
  }
}

/** A driver that hangs is as bad as one that dies. */
const LONGEST_MS = 600_000

/** The same in a process of its own, called as this one was. */
function attemptApart({ args, self, stderr, env }: DoctorTerminal): Promise<Attempt> {
  const command = [...self, ...args.filter((arg) => arg !== '--json'), '--examine']
  const child = spawn(process.execPath, command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: env as NodeJS.ProcessEnv,
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
  })
  let [out, said] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
    stderr.write(text)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(attemptOf(out, said, code, signal)))
  })
}

/** What a child's end means. */
export function attemptOf(out: string, said: string, code: number | null, signal: string | null): Attempt {
  const line = out.split('\n').findLast((text) => text.startsWith('{'))
  // Some drivers die while the process ends: what it found before still counts.
  if (line !== undefined) return JSON.parse(line) as Attempt
  const lines = said.split('\n').filter((text) => text !== '')
  const phase = lines.findLast((text) => text.startsWith(PHASE))?.slice(PHASE.length) ?? null
  const last = lines.findLast((text) => !text.startsWith(PHASE))
  const how = signal === null ? `exit code ${code}` : signal
  return { kind: 'crashed', phase, message: last === undefined ? how : `${how}; its last words: ${last}` }
}
