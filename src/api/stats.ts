/** `GET /v1/stats`: the state of the house as JSON, with the last steps, for charts that are drawn while it runs. */
import type { AdapterRows } from '../engine/observer.ts'
import type { PastStep } from '../engine/stepHistory.ts'
import type { Telemetry } from '../engine/telemetry.ts'
import type { Purpose } from '../gpu/ledger.ts'
import { InvalidRequestError } from './errors.ts'
import type { Service } from './service.ts'

export interface StatsJson {
  readonly object: 'stats'
  readonly version: string
  readonly state: 'ready' | 'failed' | 'closed'
  readonly device: {
    readonly name: string
    readonly isSoftware: boolean
    /** As WebGPU names them. */
    readonly features: readonly string[]
  }
  readonly model: { readonly id: string; readonly names: readonly string[]; readonly max_model_len: number }
  /** Since the model was opened. */
  readonly uptime_s: number
  readonly requests: {
    readonly running: number
    readonly waiting: number
    /** How those ended that did. */
    readonly finished: Readonly<Record<'stop' | 'length' | 'abort' | 'error', number>>
    readonly preemptions: number
  }
  readonly steps: { readonly total: number; readonly depth: number; readonly recent: readonly StepJson[] }
  /** `cached`: prompt tokens that came out of the prefix cache. */
  readonly tokens: { readonly prompt: number; readonly cached: number; readonly generated: number }
  readonly kv: {
    readonly blocks_used: number
    readonly blocks_total: number
    /** Tokens in a block. */
    readonly block_tokens: number
    readonly bytes: number
  }
  /** Bytes of buffers on the device, by what they are for. */
  readonly memory: Readonly<Partial<Record<Purpose, number>>> & { readonly total: number }
  readonly adapters: {
    /** Names that can be asked for. */
    readonly names: number
    /** Sets of adapter bytes in host memory, on the GPU, and the most that may be there. */
    readonly loaded: number
    readonly resident: number
    readonly max_resident: number
    readonly host_bytes: number
    readonly max_host_bytes: number
    /** On the GPU: the room for adapters, and what they have of it. */
    readonly capacity_bytes: number
    readonly used_bytes: number
    /** Names whose requests run, and whose requests wait. */
    readonly running: readonly string[]
    readonly waiting: readonly string[]
  }
}

export interface StepJson {
  readonly step: number
  /** When its result came, in ms on the clock of uptime_s. */
  readonly at_ms: number
  /** What it added to the time: from its submission, or the result before it where that came later, to its result. */
  readonly ms: number
  /** One entry for each adapter with rows in it, by name; null is the base. */
  readonly rows: readonly AdapterRows[]
}

/** `since`: the last step that the caller has; only later ones come. @throws InvalidRequestError if it is no number */
export function statsJson(service: Service, since: string | undefined): StatsJson {
  const { telemetry } = service
  const engine = telemetry.engine()
  const { meter } = telemetry
  const memory = Object.fromEntries([...telemetry.memory()].map(([purpose, { bytes }]) => [purpose, bytes]))
  const room = telemetry.adapters()
  return {
    object: 'stats',
    version: service.version,
    state: engine.state,
    device: deviceJson(telemetry.device),
    model: {
      id: service.modelNames[0],
      names: service.modelNames,
      max_model_len: service.engine.limits.maxModelLen,
    },
    uptime_s: thousandths(meter.uptime),
    requests: {
      running: engine.running,
      waiting: engine.waiting,
      finished: meter.outcomes,
      preemptions: engine.preemptions,
    },
    steps: {
      total: engine.steps,
      depth: engine.depth,
      recent: meter.steps.after(stepOf(since)).map((step) => stepJson(step, meter.openedAt)),
    },
    tokens: { prompt: engine.promptTokens, cached: engine.cachedTokens, generated: engine.generatedTokens },
    kv: {
      blocks_used: engine.usedBlocks,
      blocks_total: engine.numBlocks,
      block_tokens: engine.blockSize,
      bytes: memory.kv ?? 0,
    },
    memory: { ...memory, total: Object.values(memory).reduce((sum, bytes) => sum + bytes, 0) },
    adapters: {
      names: service.adapters.list().length,
      loaded: room.loaded,
      resident: room.resident,
      max_resident: room.maxResident,
      host_bytes: room.hostBytes,
      max_host_bytes: room.maxHostBytes,
      capacity_bytes: room.capacityBytes,
      used_bytes: room.capacityBytes - room.freeBytes,
      ...telemetry.adaptersAtWork(),
    },
  }
}

function deviceJson({ adapter, software, subgroups, f16, timestamps }: Telemetry['device']): StatsJson['device'] {
  const features = [subgroups && 'subgroups', f16 && 'shader-f16', timestamps && 'timestamp-query']
  return { name: adapter, isSoftware: software, features: features.filter((feature) => feature !== false) }
}

function stepJson({ step, at, ms, rows }: PastStep, openedAt: number): StepJson {
  return { step, at_ms: thousandths(at - openedAt), ms: thousandths(ms), rows }
}

function stepOf(since: string | undefined): number {
  if (since === undefined || since === '') return -1
  const step = Number(since)
  if (Number.isSafeInteger(step) && step >= -1) return step
  throw new InvalidRequestError(
    `\`since\` is the number of the last step you have, from -1; not ${since.slice(0, 40)}.`,
    'since',
  )
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000
}
