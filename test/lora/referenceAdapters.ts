/** The reference adapters and the bases they belong to, as the tests of src/lora read them. */
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

/** The header of a safetensors file and the bytes behind it, read without the code under test. */
export function readReferenceTensors(path: string): Map<string, { dtype: string; shape: number[]; bytes: Buffer }> {
  const file = readFileSync(reference(path))
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
        ]) => [name, { dtype, shape, bytes: file.subarray(end + from, end + to) }],
      ),
  )
}
