/** Telemetry of an engine without a GPU: its own numbers are real, those of a device are written here. */
import type { EngineStats } from '../../../src/engine/engine.ts'
import { EngineMeter } from '../../../src/engine/meter.ts'
import type { Telemetry } from '../../../src/engine/telemetry.ts'
import { Counters } from '../../../src/gpu/counters.ts'

/** As much of an engine as telemetry reads; what is missing is nothing. */
export interface Measured {
  stats(): Partial<EngineStats>
  adaptersAtWork?(): ReturnType<Telemetry['adaptersAtWork']>
}

const IDLE: EngineStats = {
  state: 'ready',
  running: 0,
  waiting: 0,
  kvCacheUsage: 0,
  usedBlocks: 0,
  numBlocks: 32,
  blockSize: 4,
  steps: 0,
  rows: 0,
  preemptions: 0,
  promptTokens: 0,
  cachedTokens: 0,
  generatedTokens: 0,
  depth: 1,
  stepMs: null,
  readbackMs: null,
}

export function fakeTelemetry(engine: Measured, meter: EngineMeter = new EngineMeter()): Telemetry {
  return {
    meter,
    device: { adapter: 'a "fake" device', software: true, subgroups: true, f16: false, timestamps: true },
    engine: () => ({ ...IDLE, ...engine.stats() }),
    adaptersAtWork: () => engine.adaptersAtWork?.() ?? { running: [], waiting: [] },
    adapters: () => ({
      loaded: 2,
      known: 5,
      hostBytes: 3000,
      maxHostBytes: 4000,
      reading: 0,
      movedBytes: 0,
      resident: 1,
      maxResident: 8,
      capacityBytes: 10_000,
      freeBytes: 9000,
    }),
    memory: () =>
      new Map([
        ['weights', { bytes: 5000, peakBytes: 6000, count: 3 }],
        ['kv', { bytes: 700, peakBytes: 700, count: 2 }],
      ]),
    counters: () => new Counters().snapshot(),
  }
}
