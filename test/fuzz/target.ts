/** What is fuzzed: a reader of hostile input, how to make such input, and what must hold when it is taken. */
import type { Folder } from '../../src/weights/folder.ts'
import type { RandomAccess } from '../../src/weights/source.ts'
import type { Dice } from './dice.ts'

/** An input: files by name. A reader of a single file or text takes the only one. */
export type Files = Readonly<Record<string, Uint8Array>>

/** Input through sources that count what is read of them. */
export interface Reading {
  readonly files: Files
  /** The only file, or the named one. */
  source(name?: string): RandomAccess
  folder(): Folder
}

export interface Target {
  readonly name: string
  /** Mostly small inputs, some of them honest. */
  make(dice: Dice): Files
  /** Inputs that ask for much: as large, deep or repetitive as the reader takes them. */
  readonly heavy: readonly ((dice: Dice) => Files)[]
  /**
   * Reads the input. Answers the bytes of tensors that it holds afterwards; throws what the reader throws, and
   * FuzzFailure where something was taken that must not be.
   */
  run(reading: Reading): Promise<number>
}

/** A reader took what it should have refused, or made something else of it than it is. */
export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure'
}

export function must(condition: unknown, problem: string): asserts condition {
  if (!condition) throw new FuzzFailure(problem)
}

export function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value)
}

export function only(bytes: Uint8Array): Files {
  return { file: bytes }
}
