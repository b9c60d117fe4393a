/** The report of `lorikeet doctor` for a terminal: what there is, what it does, and at the end what to do. */
import type { Attempt, Finding, ModelTrial } from '../doctor/diagnosis.ts'
import type { DoctorReport } from '../doctor/doctorReport.ts'
import type { Examination } from '../doctor/examination.ts'
import type { Facts } from '../load/loadReport.ts'
import { showNumber } from './axis.ts'
import { textTable } from './textTable.ts'

/** A device that nobody has measured is worth a file of the repository; one that fails is worth an issue. */
const SHARE = `To share
  lorikeet doctor --json > doctor.json         this report: of a device that nobody has measured yet it is worth keeping
  lorikeet bench kernels --json kernels.json   how near each kernel comes to that speed`
const SHARE_FAILURE = `To share
  lorikeet doctor --json > doctor.json         this report, for an issue`

export function doctorText({ host, attempt, caches, findings, canRun }: DoctorReport): string {
  return [
    section('Host', showPairs(host)),
    ...(attempt.kind === 'examined' ? deviceSections(attempt.examination) : []),
    ...modelSection(attempt),
    ...(caches.length > 0
      ? [
          section(
            'Caches',
            caches.map(({ what, path, bytes }) => [what, `${path} (${mib(bytes)})`] as const),
          ),
        ]
      : []),
    `Findings\n${findings.map(showFinding).join('\n') || '  none: everything is as it should be'}`,
    attempt.kind === 'examined' ? SHARE : SHARE_FAILURE,
    canRun ? 'lorikeet can run here.\n' : 'lorikeet cannot run here: see the problems above.\n',
  ].join('\n\n')
}

function deviceSections({
  device,
  features,
  limits,
  choices,
  selfTests,
  memory,
  transfers,
  rates,
}: Examination): string[] {
  const tests = selfTests.map(
    ({ name, isRight, detail }) => [isRight ? 'right' : 'WRONG', `${name}: ${detail}`] as const,
  )
  const speeds: (readonly [string, string] | null)[] = [
    memory && ['memory', `${mib(memory.allocatedBytes)} of ${mib(memory.wantedBytes)} could be had at once`],
    transfers && ['upload', `${showNumber(transfers.uploadGBs)} GB/s`],
    transfers && [
      'readback',
      `${showNumber(transfers.readbackMs.best)} ms at best, ${showNumber(transfers.readbackMs.median)} ms usually`,
    ],
    rates && ['copy', `${figure(rates.copyGBs)} GB/s, read and written`],
    rates && ['multiply', `${figure(rates.multiplyGFLOPs)} GFLOP/s in f32, ${figure(rates.multiplyF16GFLOPs)} in f16`],
    rates && ['dispatch', `${figure(rates.dispatchUs)} us for one that does nothing`],
  ]
  return [
    section('Device', [
      ...showPairs(device),
      ['features', features.join(', ')],
      ...Object.entries(limits).map(([name, value]) => [name, value.toLocaleString('en-US')] as const),
    ]),
    section('Numbers', tests),
    section(
      'Speed',
      speeds.filter((line) => line !== null),
    ),
    `Kernels\n${indent(
      textTable(
        ['about', 'chosen', 'because'],
        choices.map(({ about, chosen, because }) => [about, chosen, because]),
        { numLeft: 3 },
      ),
    )}`,
  ]
}

function modelSection(attempt: Attempt): string[] {
  const model: ModelTrial | null = attempt.kind === 'examined' ? attempt.model : null
  if (!model) return []
  const facts = section('Model', [
    ['model', model.name],
    ...(model.facts ? showPairs(model.facts) : [['result', 'it does not run'] as const]),
  ])
  if (model.problem !== null || model.kernels.length === 0) return [facts]
  const rows = model.kernels.map(({ kernel, chosen, because }) => [kernel, chosen, because])
  return [facts, `Kernels of the model\n${indent(textTable(['kernel', 'chosen', 'because'], rows, { numLeft: 3 }))}`]
}

const MARKS: Readonly<Record<Finding['severity'], string>> = { problem: 'PROBLEM', warning: 'warning', note: 'note' }

function showFinding({ severity, what, advice }: Finding): string {
  return `  ${MARKS[severity].padEnd(9)}${what}\n${' '.repeat(11)}${advice}`
}

function section(title: string, lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...lines.map(([name]) => name.length))
  return [title, ...lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)].join('\n')
}

function showPairs(facts: Facts): (readonly [string, string])[] {
  return Object.entries(facts).flatMap(([name, value]) => (value === null ? [] : [[name, `${value}`] as const]))
}

function figure(value: number | null): string {
  return value === null ? '-' : showNumber(value)
}

function mib(bytes: number): string {
  return bytes < 2 ** 20 ? `${bytes} bytes` : `${Math.round(bytes / 2 ** 20)} MiB`
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
