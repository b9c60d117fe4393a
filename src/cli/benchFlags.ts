/** The flags of `lorikeet bench`, and of `lorikeet bench kernels` below it. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Lengths, parseLengths } from '../bench/load/lengths.ts'
import { PICK_POLICIES, type PickPolicy } from '../bench/load/pick.ts'
import { SCENARIOS, type ScenarioName } from '../bench/load/scenarios.ts'
import { REFERENCE_NAME } from '../bench/referenceModel.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import { type DeviceFlags, deviceOptions, type EngineFlags, engineOptions } from './engineFlags.ts'
import { type AdapterPath, collectAdapters, collectNames, readPositive, readSeconds } from './values.ts'

/** As commander names them. */
export interface BenchFlags extends EngineFlags {
  readonly model?: string
  readonly url?: string
  readonly endpoint: 'completions' | 'chat'
  readonly apiKey?: string
  readonly loraModules?: readonly AdapterPath[]
  readonly adapterNames?: readonly string[]
  readonly adapters: number
  readonly ranks: readonly number[]
  readonly pick: PickPolicy
  readonly scenario?: readonly ScenarioName[]
  readonly isl: Lengths
  readonly osl: Lengths
  /** Undefined where neither the flag nor its opposite was given. */
  readonly ignoreEos?: boolean
  readonly concurrency: readonly number[]
  readonly requests?: number
  readonly warmup?: number
  readonly rounds: number
  readonly seed: number
  /** Seconds. */
  readonly timeout: number
  readonly json?: string
  readonly html?: string
}

/** Those of `bench kernels`. */
export interface KernelFlags extends DeviceFlags {
  readonly model?: string
  readonly dtype?: FloatDtype
  readonly rounds: number
  readonly json?: string
}

export interface BenchActions {
  bench(flags: BenchFlags): Promise<void>
  /** @param wanted parts of names; without any, all */
  benchKernels(wanted: readonly string[], flags: KernelFlags): Promise<void>
}

const EXAMPLES = `
Examples:
  lorikeet bench --model ./SmolLM2-135M-Instruct --adapters 8 --ranks 8,16,64 --html report.html
  lorikeet bench --url http://localhost:8000 --isl 200:2000 --osl 128 --concurrency 1,8,64

docs/benchmarks.md says what the figures mean, and how to put lorikeet beside vLLM and llama-server.
`

export function addBench(program: Command, actions: BenchActions): void {
  const bench = program
    .command('bench')
    .description('measure latency and throughput under load, with adapters and without')
    .enablePositionalOptions()
    .option('--model <dir>', 'Hugging Face folder; with --url the name of the base (the first one served)')
    .option('--url <url>', 'measure an OpenAI-compatible server instead of a model in this process')
    .addOption(
      new Option('--endpoint <which>', 'what of a server is asked')
        .choices(['completions', 'chat'])
        .default('completions'),
    )
    .addOption(new Option('--api-key <key>', 'key of the server').env('OPENAI_API_KEY'))
    .addOption(new Option('--scenario <names>', `what is measured: ${SCENARIOS.join(', ')}`).argParser(readScenarios))
    .addOption(countOption('--adapters <n>', 'adapters of a scenario with many', 8))
    .addOption(
      new Option('--ranks <ranks>', 'ranks of synthetic adapters, in turn')
        .argParser(readCounts)
        .default([8, 16, 64], '8,16,64'),
    )
    .addOption(
      new Option('--lora-modules <name=path...>', 'measure these adapters instead of synthetic ones').argParser(
        collectAdapters,
      ),
    )
    .addOption(
      new Option('--adapter-names <names>', 'adapters of a server (all that name a parent)').argParser(collectNames),
    )
    .addOption(
      new Option('--pick <policy>', 'how requests pick an adapter; skewed: a fifth of them takes four fifths')
        .choices(PICK_POLICIES)
        .default('uniform'),
    )
    .addOption(lengthsOption('--isl <tokens>', 'length of prompts: 64, 32:128 or normal:64,16', '64'))
    .addOption(lengthsOption('--osl <tokens>', 'length of answers, likewise', '32'))
    .addOption(
      new Option('--ignore-eos', 'go on to the last token; so it is in this process, and for servers if asked'),
    )
    .addOption(new Option('--no-ignore-eos', 'let the model end its answers'))
    .addOption(
      new Option('--concurrency <clients>', 'clients at once, point by point')
        .argParser(readCounts)
        .default([1, 2, 4, 8, 16], '1,2,4,8,16'),
    )
    .addOption(countOption('--requests <n>', 'requests of a point in a round (4 for each client)'))
    .addOption(
      new Option('--warmup <n>', 'requests before the first round of a point (1 for each client)').argParser(readCount),
    )
    .addOption(countOption('--rounds <n>', 'rounds, each through all points', 3))
    .addOption(new Option('--seed <n>', 'the same seed makes the same requests').argParser(readCount).default(0))
    .addOption(
      new Option('--timeout <seconds>', 'a request that takes longer has failed').argParser(readSeconds).default(600),
    )
    .option('--json <file>', 'write all figures')
    .option('--html <file>', 'write a report with plots, in one file')
    .addHelpText('after', EXAMPLES)
    .allowExcessArguments(false)
    .action((flags: BenchFlags) => actions.bench(flags))
  for (const each of engineOptions()) bench.addOption(each)
  addKernels(bench, actions)
}

function addKernels(bench: Command, actions: BenchActions): void {
  const kernels = bench
    .command('kernels')
    .description("measure every kernel at a model's shapes against what the device can do")
    .argument('[names...]', 'only kernels and shapes with one of these in their names, such as matmul or "rank 16"')
    .option('--model <dir>', `Hugging Face folder whose shapes are taken (${REFERENCE_NAME}'s)`)
    .addOption(new Option('--dtype <type>', 'type of the weights (as the model says)').choices(['F16', 'BF16', 'F32']))
    .addOption(countOption('--rounds <n>', 'rounds, each through all kernels', 5))
    .option('--json <file>', 'write all figures')
    .action((names: string[], flags: KernelFlags) => actions.benchKernels(names, flags))
  for (const each of deviceOptions()) kernels.addOption(each)
}

function countOption(flags: string, description: string, value?: number): Option {
  const option = new Option(flags, description).argParser(readPositive)
  return value === undefined ? option : option.default(value)
}

function lengthsOption(flags: string, description: string, text: string): Option {
  return new Option(flags, description).argParser(readLengths).default(readLengths(text), text)
}

function readLengths(text: string): Lengths {
  const lengths = parseLengths(text)
  if (lengths) return lengths
  throw new InvalidArgumentError('Give tokens as 64, as 32:128 (uniform), or as normal:64,16 (mean, deviation).')
}

/** `1,2,4` */
function readCounts(text: string): readonly number[] {
  return text.split(',').map(readPositive)
}

/** A whole number from 0 on. */
function readCount(text: string): number {
  return text === '0' ? 0 : readPositive(text)
}

function readScenarios(text: string): readonly ScenarioName[] {
  const names = text.split(',')
  const unknown = names.find((name) => !SCENARIOS.some((known) => known === name))
  if (unknown === undefined) return [...new Set(names)] as ScenarioName[]
  throw new InvalidArgumentError(
    `There is no scenario "${unknown}". Give some of ${SCENARIOS.join(', ')}, with commas between.`,
  )
}
