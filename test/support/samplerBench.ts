/** Runs the sampler over plain arrays of logits, with every crew it may have. */
import { adjustmentOf, isAdjusted } from '../../src/engine/adjustmentOf.ts'
import type { SamplingParams, TokenHistory } from '../../src/engine/batch.ts'
import type { DeviceWish } from '../../src/gpu/capabilities.ts'
import type { Gpu } from '../../src/gpu/gpu.ts'
import type { Tracked } from '../../src/gpu/ledger.ts'
import { type CrewShape, workgroupCrew } from '../../src/model/kernels/crew.ts'
import { RECORD_BYTES, readRecord, type SampledRecord, Sampler } from '../../src/model/sampler.ts'
import { StepTables } from '../../src/model/stepTables.ts'
import { openGpu } from './host.ts'
import { Random } from './random.ts'

/** Not a multiple of anything, and more than a crew or a workgroup looks at together. */
export const VOCAB = 2503
/** Rows of one step. */
export const MAX_ROWS = 256
/** Sequences whose tokens are counted at once; more than are adjusted in one round. */
export const MAX_SEQUENCES = 20

export const GREEDY: SamplingParams = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

export interface TestCrew {
  readonly name: string
  readonly wish: DeviceWish
  readonly crew: CrewShape | null
}

export const CREWS: readonly TestCrew[] = [
  { name: 'subgroups', wish: {}, crew: null },
  { name: 'workgroups, without subgroups', wish: { subgroups: false }, crew: null },
  { name: 'workgroups of 256, as on GPUs', wish: {}, crew: workgroupCrew(256) },
]

export interface SamplerRow {
  readonly logits: ArrayLike<number>
  readonly params?: Partial<SamplingParams>
  readonly position?: number
  readonly banned?: readonly number[]
  readonly allowed?: Uint32Array
  readonly history?: TokenHistory
  readonly score?: number
  readonly top?: number
  /** Where the token is kept, and the ids after which there is none. */
  readonly keep?: { readonly register: number; readonly stopIds: readonly number[] }
  /** The register that fed the row of these logits; else its token was known. */
  readonly fedBy?: number
}

export class SamplerBench {
  readonly gpu: Gpu
  readonly sampler: Sampler
  readonly #step: Tracked
  readonly #logits: Tracked
  readonly #registers: Tracked
  readonly #tables = new StepTables(512 * 1024)

  private constructor(gpu: Gpu, sampler: Sampler, step: Tracked, logits: Tracked, registers: Tracked) {
    this.gpu = gpu
    this.sampler = sampler
    this.#step = step
    this.#logits = logits
    this.#registers = registers
  }

  static async open({ wish, crew }: TestCrew): Promise<SamplerBench> {
    const gpu = await openGpu(wish)
    const [step, logits, registers] = await gpu.allocateAll([
      { label: 'step', purpose: 'tables', byteLength: 2 * 1024 * 1024 },
      { label: 'logits', purpose: 'activations', byteLength: MAX_ROWS * VOCAB * 4 },
      { label: 'registers', purpose: 'tables', byteLength: MAX_ROWS * 4 },
    ])
    const sampler = await Sampler.create(gpu, {
      step: step!,
      logits: logits!,
      registers: registers!,
      vocabSize: VOCAB,
      maxLogits: MAX_ROWS,
      maxSequences: MAX_SEQUENCES,
      ...(crew ? { crew } : {}),
    })
    return new SamplerBench(gpu, sampler, step!, logits!, registers!)
  }

  /** One step: uploads, draws, reads back. */
  async run(rows: readonly SamplerRow[]): Promise<SampledRecord[]> {
    const data = new Float32Array(rows.length * VOCAB)
    rows.forEach(({ logits }, i) => {
      data.set(logits, i * VOCAB)
    })
    await this.gpu.upload(this.#logits, 0, new Uint8Array(data.buffer))
    return this.again(rows)
  }

  /** The same over the logits that are there. */
  async again(rows: readonly SamplerRow[]): Promise<SampledRecord[]> {
    this.submit(rows)
    const bytes = await this.gpu.readback(this.sampler.records, 0, rows.length * RECORD_BYTES)
    return rows.map(({ top = null }, i) => readRecord(bytes, i, top))
  }

  /** The same without reading: what was drawn stays on the device. */
  submit(rows: readonly SamplerRow[]): void {
    const wanted = rows.map(({ params, position = 0, banned = [], allowed, history }) => ({
      sample: { ...GREEDY, ...params },
      position,
      banned,
      ...(allowed ? { allowed } : {}),
      ...(history ? { history } : {}),
    }))
    const adjusted = wanted.filter(isAdjusted).length
    const tables = this.#tables
    tables.begin({ rows: rows.length, tiles: 0, logits: rows.length, splits: 1, adjusted })
    for (const { fedBy } of rows) {
      tables.addRow({ token: fedBy === undefined ? 0 : { register: fedBy }, position: 0, blockTable: 0, slot: null })
    }
    rows.forEach(({ score = null, top = null, keep }, i) => {
      const want = wanted[i]!
      tables.addLogits({
        row: i,
        score,
        topLogprobs: top,
        ...want.sample,
        position: want.position,
        adjustment: isAdjusted(want)
          ? tables.addAdjustment(adjustmentOf(want, keep?.register, this.sampler.counts))
          : null,
        ...(keep ? { keep } : {}),
      })
    })
    this.gpu.write(this.#step, 0, tables.words, tables.length)
    const recorder = this.gpu.recorder()
    this.sampler.record(
      recorder,
      rows.length,
      rows.some(({ top }) => top !== undefined),
      adjusted,
    )
    recorder.submit()
  }

  /** What the first registers hold. */
  async registers(count: number): Promise<number[]> {
    return [...new Uint32Array((await this.gpu.readback(this.#registers, 0, count * 4)).buffer)]
  }

  /** @throws when the sampler leaves a buffer behind. */
  close(): void {
    this.sampler.close()
    this.#step.destroy()
    this.#logits.destroy()
    this.#registers.destroy()
    const left = this.gpu.ledger.describe()
    this.gpu.close()
    if (left) throw new Error(`Left on the GPU: ${left}`)
  }
}

/** Logits of about a normal spread, the same for the same seed. */
export function noise(seed: number, spread = 3): number[] {
  const random = new Random(seed)
  const uniform = () => random.next()
  return Array.from({ length: VOCAB }, () => Math.fround(spread * (uniform() + uniform() + uniform() - 1.5)))
}

/** Logits of which only the first tokens can be drawn: the rest is far below. */
export function few(...logits: readonly number[]): number[] {
  return Array.from({ length: VOCAB }, (_, id) => Math.fround(logits[id] ?? -40))
}

/** The mask that allows these ids. */
export function maskOf(ids: Iterable<number>): Uint32Array {
  const mask = new Uint32Array(Math.ceil(VOCAB / 32))
  for (const id of ids) mask[id >> 5]! |= 1 << (id & 31)
  return mask
}
