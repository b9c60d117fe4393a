/** The commands, their flags and their help. What a command does is handed in, so that tests read flags without a GPU. */
import { Command, Option } from 'commander'
import { VERSION } from '../version.ts'
import { addBench, type BenchActions } from './benchFlags.ts'
import { addDoctor, type DoctorActions } from './doctorFlags.ts'
import { type EngineFlags, engineOptions } from './engineFlags.ts'
import {
  type AdapterPath,
  collect,
  collectAdapters,
  collectNames,
  readBytes,
  readMerge,
  readPort,
  readPositive,
  readSeconds,
} from './values.ts'

/** The flags of `serve`, as commander names them. */
export interface ServeFlags extends EngineFlags {
  readonly model?: string
  readonly servedModelName?: readonly string[]
  readonly loraModules?: readonly AdapterPath[]
  readonly loraDir?: string
  /** A name, or an adapter with its path. */
  readonly merge?: string | AdapterPath
  /** Seconds. */
  readonly loraRefreshInterval?: number
  readonly loraRoot?: readonly string[]
  /** Undefined where neither the flag nor its opposite was given. */
  readonly allowRuntimeLora?: boolean
  readonly enableLora?: boolean
  readonly maxCpuLoras?: number
  readonly trace?: string
  readonly loraHostMemory?: number
  readonly host: string
  readonly port: number
  readonly apiKey?: readonly string[]
  readonly corsOrigin?: readonly string[]
  readonly strict?: boolean
  readonly logFormat: 'pretty' | 'json'
  readonly verbose?: boolean
}

export interface Actions extends BenchActions, DoctorActions {
  serve(flags: ServeFlags): Promise<void>
}

const EXAMPLES = `
Examples:
  lorikeet serve --model ./SmolLM2-135M-Instruct
  lorikeet serve --model ./SmolLM2-135M-Instruct --lora-modules pirate=./pirate tutor=./tutor

  curl localhost:8000/v1/chat/completions -d '{"model":"pirate","messages":[{"role":"user","content":"Hello"}]}'
`

/** Throws CommanderError instead of ending the process. */
export function createProgram(actions: Actions): Command {
  const program = new Command('lorikeet')
    .description('One base model, many LoRA adapters, one batch, on WebGPU.')
    .version(VERSION, '-V, --version')
    .showHelpAfterError('(lorikeet --help shows what there is)')
    // What stands behind a command is the command's, also where a command has commands of its own.
    .enablePositionalOptions()
    .exitOverride()
  const serve = program
    .command('serve')
    .description('serve a model and its adapters behind an OpenAI-compatible API')
    .addOption(option('--model <dir>', 'Hugging Face folder of the base model'))
    .addOption(
      option('--served-model-name <name...>', 'names the base answers to')
        .env('NIM_SERVED_MODEL_NAME')
        .argParser(collectNames),
    )
    .addOption(
      option('--lora-modules <name=path...>', 'adapters to load, each a PEFT folder').argParser(collectAdapters),
    )
    .addOption(option('--lora-dir <dir>', 'folder of adapters, one in each sub-folder').env('NIM_PEFT_SOURCE'))
    .addOption(
      option(
        '--merge <name>',
        'fold one of these (or name=path) into the base at the start: no step does anything for it then',
      ).argParser(readMerge),
    )
    .addOption(
      option('--lora-refresh-interval <seconds>', 'follow changes of --lora-dir within this time')
        .env('NIM_PEFT_REFRESH_INTERVAL')
        .argParser(readSeconds),
    )
    .addOption(
      option(
        '--allow-runtime-lora',
        'let requests load and unload adapters; so it is on loopback, and with --lora-refresh-interval',
      ),
    )
    .addOption(option('--no-allow-runtime-lora', 'never let them'))
    .addOption(
      option('--lora-root <dir>', 'where requests may load from, beside --lora-dir; may be repeated').argParser(
        collect,
      ),
    )
    .addOption(option('--enable-lora', 'always on; taken for the sake of vLLM command lines'))
    .addOption(
      option('--max-cpu-loras <n>', 'most adapters in host memory; the rest stays where it came from')
        .env('NIM_MAX_CPU_LORAS')
        .argParser(readPositive),
    )
    .addOption(
      option(
        '--lora-host-memory <size>',
        'host memory for adapters (1GiB); the rest stays where it came from',
      ).argParser(readBytes),
    )
    .addOption(option('--host <address>', 'address to listen on').env('LORIKEET_HOST').default('127.0.0.1'))
    .addOption(option('--port <port>', 'port to listen on').env('LORIKEET_PORT').argParser(readPort).default(8000))
    .addOption(
      option('--api-key <key>', 'ask clients for this key; may be repeated').env('VLLM_API_KEY').argParser(collect),
    )
    .addOption(
      option('--cors-origin <origin>', 'let pages of this origin call; * is all; may be repeated')
        .env('LORIKEET_CORS_ORIGIN')
        .argParser(collect),
    )
    .addOption(option('--strict', 'refuse request fields that nobody knows instead of naming them'))
    .addOption(
      option('--log-format <format>', 'lines for people or for machines').choices(['pretty', 'json']).default('pretty'),
    )
    .addOption(option('--trace <file>', 'write a timeline of requests, steps and the device, for ui.perfetto.dev'))
    .addOption(option('--verbose', 'log every request, show where errors come from'))
    .addHelpText('after', EXAMPLES)
    .allowExcessArguments(false)
    .action((flags: ServeFlags) => actions.serve(flags))
  for (const each of engineOptions()) serve.addOption(each)
  addBench(program, actions)
  addDoctor(program, actions)
  return program
}

function option(flags: string, description: string): Option {
  return new Option(flags, description)
}
