/**
 * A house whose adapters are real: the reference adapters of the tiny Qwen3, in a folder of their own on a real disk, read
 * by the real loader into the real registry. Only the GPU is not there: residency moves in a pool of so many slots.
 */
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Adapters, type LoraDirectoryWish } from '../../../src/adapters.ts'
import type { HandlerOptions } from '../../../src/api/handler.ts'
import { directoryFolder } from '../../../src/hosts/node/files.ts'
import { folderWithin } from '../../../src/hosts/node/roots.ts'
import { subfoldersOf } from '../../../src/hosts/node/subfolders.ts'
import type { Host } from '../../../src/hosts/port.ts'
import { Compositions } from '../../../src/lora/compositions.ts'
import type { HostLimits } from '../../../src/lora/hostTier.ts'
import { AdapterRegistry } from '../../../src/lora/registry.ts'
import { readModelSpec } from '../../../src/model/config.ts'
import { readJson } from '../../../src/weights/config.ts'
import { reference } from '../../fixtures.ts'
import { type FakeHouse, fakeHouse, type LogLine } from './fakeService.ts'

const host: Host = {
  openGpu: () => Promise.reject(new Error('no GPU here')),
  folder: (path) => directoryFolder(path),
  folderWithin,
  subfolders: subfoldersOf,
}

export interface AdapterHouse extends FakeHouse {
  readonly adapters: Adapters
  readonly registry: AdapterRegistry
  readonly compositions: Compositions
  /** A folder below the only root. */
  folder(name: string): string
  /** Copies a reference adapter (`llama-tiny/r1`, `refused/nan` …) to a folder below the root. */
  put(name: string, adapter: string): string
  close(): Promise<void>
}

export interface AdapterHouseOptions extends HandlerOptions {
  readonly slots?: number
  readonly maxRank?: number
  readonly follows?: Omit<LoraDirectoryWish, 'path'>
  readonly isClosed?: boolean
  readonly limits?: HostLimits
}

export async function adapterHouse(options: AdapterHouseOptions = {}): Promise<AdapterHouse> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'lorikeet-house-')))
  const loras = join(root, 'adapters')
  mkdirSync(loras)
  const spec = readModelSpec(await readJson(directoryFolder(reference('models/llama-tiny')), 'config.json'))
  const registry = new AdapterRegistry(fakePool(options.slots ?? 4) as never, ['org/tiny', 'tiny'], options.limits)
  const lines: LogLine[] = []
  const adapters = new Adapters({
    registry,
    spec,
    maxRank: options.maxRank ?? 32,
    host,
    log: (level, message, fields = {}) => lines.push({ level, message, fields }),
  })
  const control = options.isClosed ? null : adapters.control({ roots: [loras] })
  const compositions = new Compositions({ registry, spec, maxRank: options.maxRank ?? 32 })
  const house = fakeHouse({ ...options, service: { adapters: registry, compositions, control } })
  return {
    ...house,
    log: house.log,
    adapters,
    registry,
    compositions,
    folder: (name) => join(loras, name),
    put(name, adapter) {
      const from = adapter.startsWith('refused/') ? adapter : `adapters/${adapter}`
      cpSync(reference(from), join(loras, name), { recursive: true })
      return join(loras, name)
    },
    async close() {
      await adapters.close()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** A pool of so many slots, each as large as any adapter. */
function fakePool(slots: number) {
  const free = Array.from({ length: slots }, (_, i) => slots - 1 - i)
  return {
    freeBytes: 1e9,
    maxSlots: slots,
    load: async () => free.pop() ?? null,
    bytesOf: () => 1,
    unload: (slot: number) => void free.push(slot),
    close: () => {},
  }
}
