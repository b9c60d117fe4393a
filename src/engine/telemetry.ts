/** Everything that can be measured of a running model, in one place and read only: what metrics and charts are made of. */
import type { Capabilities } from '../gpu/capabilities.ts'
import type { CounterValues } from '../gpu/counters.ts'
import type { Purpose, PurposeTotals } from '../gpu/ledger.ts'
import type { EngineStats } from './engine.ts'
import type { EngineMeter } from './meter.ts'
import type { Runtime } from './runtime.ts'

export interface Telemetry {
  readonly meter: EngineMeter
  readonly device: Pick<Capabilities, 'adapter' | 'software' | 'subgroups' | 'f16' | 'timestamps'>
  /** Now. */
  engine(): EngineStats
  /** Names of adapters with requests that run, and with requests that wait. */
  adaptersAtWork(): { readonly running: readonly string[]; readonly waiting: readonly string[] }
  adapters(): AdapterRoomStats
  /** Bytes of buffers on the device, by what they are for. */
  memory(): ReadonlyMap<Purpose, PurposeTotals>
  /** What was asked of the device since it was opened. */
  counters(): CounterValues
}

/** Sets of adapter bytes: the same under two names count once. */
export interface AdapterRoomStats {
  readonly known: number
  /** Of them, in host memory or being read into it; their bytes, and the most there may be. */
  readonly loaded: number
  readonly hostBytes: number
  readonly maxHostBytes: number
  /** Being read now. */
  readonly reading: number
  /** On the GPU now, and the most that fit by number; the bytes there are for them, and those that are free. */
  readonly resident: number
  readonly maxResident: number
  readonly capacityBytes: number
  readonly freeBytes: number
  /** Moved so far, so that others found room in one piece. */
  readonly movedBytes: number
}

export function telemetryOf({ gpu, engine, adapters, sizes }: Runtime, meter: EngineMeter): Telemetry {
  return {
    meter,
    device: gpu.can,
    engine: () => engine.stats(),
    adaptersAtWork: () => engine.adaptersAtWork(),
    adapters: () => ({
      known: adapters.numVersions,
      loaded: adapters.host.size,
      hostBytes: adapters.host.bytes,
      maxHostBytes: adapters.host.maxBytes,
      reading: adapters.host.numReads,
      resident: adapters.residentCount,
      maxResident: sizes.maxSlots,
      capacityBytes: adapters.capacityBytes,
      freeBytes: adapters.freeBytes,
      movedBytes: adapters.moves.bytes,
    }),
    memory: () => gpu.ledger.byPurpose(),
    counters: () => gpu.counters.snapshot(),
  }
}
