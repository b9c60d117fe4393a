/** The reference adapters and the bases they belong to, as the tests of src/lora read them. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { directoryFolder } from '../../src/hosts/node/files.ts'
import { readModelSpec } from '../../src/model/config.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import type { Folder } from '../../src/weights/folder.ts'
import { reference } from '../fixtures.ts'

export interface ReferenceAdapter {
  /** `model/name`. */
  readonly id: string
  readonly model: string
  readonly format: 'peft' | 'nemo'
  readonly dir?: string
  readonly file?: string
}

export interface RefusedAdapter {
  readonly dir?: string
  readonly file?: string
  readonly model: string
  readonly reason: string
}

const index: { adapters: ReferenceAdapter[]; refused: RefusedAdapter[] } = JSON.parse(
  readFileSync(reference('reference.json'), 'utf8'),
)

/** What Python's zipfile and pickle find in the files that torch.save wrote. */
export const TORCH_FILES: Readonly<Record<string, Readonly<Record<string, ReferenceTensor>>>> = JSON.parse(
  readFileSync(new URL('../fixtures/lora/torch_files.json', import.meta.url), 'utf8'),
)

/** The adapters that are PEFT folders. */
export const PEFT_ADAPTERS: readonly (ReferenceAdapter & { readonly dir: string })[] = index.adapters.flatMap(
  (adapter) => (adapter.dir === undefined ? [] : [{ ...adapter, dir: adapter.dir }]),
)

/** The folders that must be refused. */
export const REFUSED_FOLDERS: readonly (RefusedAdapter & { readonly dir: string })[] = index.refused.flatMap(
  (adapter) => (adapter.dir === undefined ? [] : [{ ...adapter, dir: adapter.dir }]),
)

export function referenceSpec(model: string): ModelSpec {
  return readModelSpec(readReferenceJson(`models/${model}/config.json`))
}

export function referenceFolder(dir: string): Folder {
  return directoryFolder(reference(dir))
}

// biome-ignore lint/suspicious/noExplicitAny: any JSON file of the fixtures, read without the code under test.
export function readReferenceJson(path: string): any {
  return JSON.parse(readFileSync(reference(path), 'utf8'))
}

export interface ReferenceTensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly sha256: string
}

/** The tensors of an adapter's file by name, found without the code under test. */
export function referenceTensors(dir: string): ReadonlyMap<string, ReferenceTensor> {
  const torch = TORCH_FILES[`${dir}/adapter_model.bin`]
  if (torch) return new Map(Object.entries(torch))
  const file = readFileSync(reference(`${dir}/adapter_model.safetensors`))
  const end = 8 + Number(file.readBigUInt64LE(0))
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.subarray(8, end).toString(),
  )
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => [name, { dtype, shape, sha256: sha256(file.subarray(end + from, end + to)) }],
      ),
  )
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
