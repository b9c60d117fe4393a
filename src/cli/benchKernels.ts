/** `lorikeet bench kernels`: every kernel at a model's shapes against what the device can do at all. */
import { writeFile } from 'node:fs/promises'
import { benchKernels } from '../bench/kernels/benchKernels.ts'
import type { KernelReport } from '../bench/kernels/kernelReport.ts'
import { REFERENCE_CONFIG, REFERENCE_NAME } from '../bench/referenceModel.ts'
import { kernelText } from '../bench/report/kernelTable.ts'
import { currentHost } from '../hosts/current.ts'
import { readModelSpec } from '../model/config.ts'
import { readJson } from '../weights/config.ts'
import type { FloatDtype } from '../weights/dtype.ts'
import type { JsonObject } from '../weights/json.ts'
import { type BenchTerminal, commandLine } from './bench.ts'
import type { KernelFlags } from './benchFlags.ts'
import { deviceWishOf } from './engineFlags.ts'
import { hostFacts } from './hostFacts.ts'

/** `torch_dtype` of a config. Others are measured as F16. */
const DTYPES: Readonly<Record<string, FloatDtype>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }

/** @throws NoGpuError, SourceError and ConfigError of the model, ShaderError */
export async function kernels(wanted: readonly string[], flags: KernelFlags, terminal: BenchTerminal): Promise<void> {
  const host = await currentHost()
  const config: JsonObject =
    flags.model === undefined
      ? (REFERENCE_CONFIG as JsonObject)
      : await readJson(host.folder(flags.model), 'config.json')
  const spec = readModelSpec(config)
  const gpu = await host.openGpu(deviceWishOf(flags))
  let report: KernelReport
  try {
    const found = await benchKernels(gpu, {
      spec,
      dtype: flags.dtype ?? DTYPES[String(config.torch_dtype ?? config.dtype)] ?? 'F16',
      modelName: flags.model ?? REFERENCE_NAME,
      wanted,
      rounds: flags.rounds,
      cpuMs: () => cpuMs(),
      onPrepare: ({ kernel, shape, rows }) => terminal.stderr.write(`${kernel} ${shape}, ${rows} rows\n`),
    })
    report = { ...found, createdAt: new Date().toISOString(), command: commandLine(terminal.args), host: hostFacts() }
  } finally {
    gpu.close()
  }
  if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify(report, null, 2)}\n`)
  terminal.stdout.write(kernelText(report))
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
