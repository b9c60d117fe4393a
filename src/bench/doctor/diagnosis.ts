/** What an examination means: problems, each with what to do about it. Without a device, so that every rule can be tested. */
import type { TuningRow } from '../../engine/tuning.ts'
import type { Findings } from '../../model/tuner/tuningStore.ts'
import type { Facts } from '../load/loadReport.ts'
import type { Examination } from './examination.ts'
import { type HalfTrial, isWorth } from './halfTrial.ts'

/** `problem`: lorikeet cannot run, or gives wrong answers. `warning`: it runs worse than it could. `note`: good to know. */
export type Severity = 'problem' | 'warning' | 'note'

export interface Finding {
  readonly severity: Severity
  readonly what: string
  readonly advice: string
}

/** What a host knows of its drivers, where it can look. */
export interface DriverFacts {
  /** Device files of GPUs, and whether this user may open them. */
  readonly gpuFiles: readonly { readonly path: string; readonly isOpen: boolean }[]
  /** A variable that chooses the Vulkan driver, and whether the files it names are there. */
  readonly pinned: { readonly variable: string; readonly value: string; readonly exists: boolean } | null
  /** A variable that switches the driver's shader cache off. */
  readonly cacheOff: string | null
}

/** The trial of a model: loaded, and asked for a few tokens. */
export type ModelTrial =
  | {
      readonly name: string
      readonly facts: Facts
      readonly halves: HalfTrial
      /** Its kernels on this device, and all that is known of the candidates. */
      readonly kernels: readonly TuningRow[]
      readonly tuning: Findings
      readonly problem: null
    }
  | { readonly name: string; readonly facts: null; readonly problem: string }

/** How it went: an examination, or why there is none. */
export type Attempt =
  | { readonly kind: 'examined'; readonly examination: Examination; readonly model: ModelTrial | null }
  | { readonly kind: 'no device'; readonly message: string }
  | { readonly kind: 'crashed'; readonly phase: string | null; readonly message: string }

/** Later than this, and single sequences feel it: up to eight steps are kept in flight to hide it. */
const LATE_READBACK_MS = 10
/** A model of 300 MB takes a second then. */
const SLOW_UPLOAD_GBS = 0.3
/** Slower memory than that no GPU of today has; one that is asleep or reached by wire may. */
const SLOW_COPY_GBS = 15

export function diagnose(attempt: Attempt, drivers: DriverFacts | null): readonly Finding[] {
  const host = drivers ? driverFindings(drivers, attempt) : []
  switch (attempt.kind) {
    case 'no device':
      return [{ severity: 'problem', what: 'There is no WebGPU device.', advice: attempt.message }, ...host]
    case 'crashed':
      return [
        {
          severity: 'problem',
          what: `The process died${attempt.phase === null ? ' while it opened the device' : ` during: ${attempt.phase}`} (${attempt.message}).`,
          advice:
            'That is the graphics driver. Update it; or choose another with VK_DRIVER_FILES (on Linux), such as lavapipe of the package mesa-vulkan-drivers.',
        },
        ...host,
      ]
    case 'examined':
      return [...examined(attempt.examination), ...(attempt.model ? modelFindings(attempt.model) : []), ...host]
  }
}

function examined(examination: Examination): Finding[] {
  const { selfTests, failure, memory, transfers, rates, isSoftware, device } = examination
  const wrong = selfTests.filter(({ isRight }) => !isRight)
  const findings: (Finding | false | null)[] = [
    failure && {
      severity: 'problem',
      what: `The device failed during: ${failure.phase}. ${failure.message}`,
      advice: 'Close other programs that use the GPU and try again; if it stays so, update the driver.',
    },
    wrong.length > 0 && {
      severity: 'problem',
      what: `Wrong numbers: ${wrong.map(({ name, detail }) => `${name} (${detail})`).join('; ')}.`,
      advice:
        'Do not trust what this device computes. Update the driver, or choose another one; a bug report with `lorikeet doctor --json` helps everybody.',
    },
    memory?.problem != null && {
      severity: 'warning',
      what: `Only ${mib(memory.allocatedBytes)} of ${mib(memory.wantedBytes)} could be allocated at once.`,
      advice: 'Close other programs that use the GPU, or serve with smaller --kv-cache-memory and --lora-memory.',
    },
    isSoftware && {
      severity: 'warning',
      what: 'A CPU computes what a GPU would: this is a software device.',
      advice: 'It is right, and slow. A GPU with a Vulkan, Metal or Direct3D 12 driver is what lorikeet is for.',
    },
    device.subgroups === 'none' && {
      severity: 'warning',
      what: 'The device offers no subgroups: kernels use workgroups with barriers.',
      advice:
        'Everything works, slower. Newer drivers and Chromium-based browsers have them; in Deno, --webgpu dawn does.',
    },
    device.timestamps === false && {
      severity: 'note',
      what: 'The device offers no timestamp queries.',
      advice: '`lorikeet bench kernels` and --trace go by wall time.',
    },
    transfers !== null &&
      transfers.readbackMs.median > LATE_READBACK_MS && {
        severity: 'warning',
        what: `Results come back ${transfers.readbackMs.median.toFixed(1)} ms late.`,
        advice: 'Up to eight steps are kept in flight to hide it; small models feel it nevertheless.',
      },
    transfers !== null &&
      transfers.uploadGBs < SLOW_UPLOAD_GBS && {
        severity: 'warning',
        what: `Uploads reach ${transfers.uploadGBs.toFixed(2)} GB/s.`,
        advice:
          'Loading models and adapters takes long. Look whether the machine is busy, or the GPU reached by a slow wire.',
      },
    rates?.copyGBs != null &&
      !isSoftware &&
      rates.copyGBs < SLOW_COPY_GBS && {
        severity: 'warning',
        what: `The device copies ${rates.copyGBs.toFixed(1)} GB/s, less than GPUs do.`,
        advice: 'Look whether it saves power, or another program uses it.',
      },
  ]
  return findings.filter((finding) => finding !== false && finding !== null)
}

function modelFindings(trial: ModelTrial): Finding[] {
  if (trial.problem === null) return halfFindings(trial.name, trial.halves)
  return [
    {
      severity: 'problem',
      what: `The model ${trial.name} does not run: ${trial.problem}`,
      advice: 'The message names the file or the flag.',
    },
  ]
}

/** Never chosen by itself: it changes numbers, if by little. */
function halfFindings(name: string, halves: HalfTrial): Finding[] {
  if (!isWorth(halves)) return []
  const [decode, prefill] = [halves.decode, halves.prefill].map((ratio) => ratio.toFixed(2))
  return [
    {
      severity: 'note',
      what: `With --activation-dtype float16 the matrices of ${name} take ${decode} of the time when it decodes, ${prefill} when it reads.`,
      advice: 'Logits then differ by about a thousandth of their scale: docs/performance.md, Halves.',
    },
  ]
}

function driverFindings({ gpuFiles, pinned, cacheOff }: DriverFacts, attempt: Attempt): Finding[] {
  const closed = gpuFiles.filter(({ isOpen }) => !isOpen).map(({ path }) => path)
  const isOnCpu = attempt.kind !== 'examined' || attempt.examination.isSoftware
  const findings: (Finding | false)[] = [
    closed.length > 0 &&
      isOnCpu && {
        severity: 'warning',
        what: `This user may not open ${closed.join(', ')}.`,
        advice: 'Add the user to the groups that own it (usually render and video), and log in again.',
      },
    closed.length < gpuFiles.length &&
      isOnCpu && {
        severity: 'warning',
        what: `There is a GPU (${gpuFiles.map(({ path }) => path).join(', ')}), and no driver that WebGPU takes answers for it.`,
        advice: "Install its Vulkan driver: mesa-vulkan-drivers for AMD and Intel, the vendor's own for NVIDIA.",
      },
    pinned !== null &&
      !pinned.exists && {
        severity: 'problem',
        what: `${pinned.variable} names ${pinned.value}, which is not there.`,
        advice: `Unset ${pinned.variable}, or correct it.`,
      },
    pinned?.exists === true && {
      severity: 'note',
      what: `${pinned.variable} chooses the driver: ${pinned.value}.`,
      advice: 'Unset it to have the best one found.',
    },
    cacheOff !== null && {
      severity: 'warning',
      what: `${cacheOff} switches the driver's shader cache off.`,
      advice: 'Every start compiles all shaders anew. Unset it.',
    },
  ]
  return findings.filter((finding) => finding !== false)
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}
