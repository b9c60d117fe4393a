/**
 * Blocks that begin alike are computed once. A full block is found by its address: a SHA-256 over the address of the
 * block before it and its own tokens, chained from the model's and the adapter's digest. So an address stands for
 * everything its keys and values depend on, an adapter never meets another's, and two names of the same bytes share. An
 * adapter that waits for its invocation shares what comes before it with the base.
 *
 * A sequence that has several physical blocks for the same tokens, one for each fold of its layers, shares all of them or
 * none.
 *
 * A block is entered when the step that completes it has run, and stays known after its last owner has left, until it
 * is needed for something else.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { KvBlocks } from './kvBlocks.ts'
import type { Sequence } from './sequence.ts'

export class PrefixCache {
  readonly #blocks: KvBlocks
  readonly #modelDigest: string
  readonly #enabled: boolean
  /** Addresses of each sequence's blocks, from the first, as far as they were asked for. */
  readonly #addresses = new WeakMap<Sequence, string[]>()

  constructor(blocks: KvBlocks, modelDigest: string, enabled: boolean) {
    this.#blocks = blocks
    this.#modelDigest = modelDigest
    this.#enabled = enabled
  }

  /** The known physical blocks that a waiting sequence can begin with. At least one of its tokens is left to compute. */
  find(sequence: Sequence): number[] {
    const found: number[] = []
    const most = this.#numUsable(sequence)
    for (let index = 0; index < most; index++) {
      for (let fold = 0; fold < sequence.numFolds; fold++) {
        const block = this.#blocks.find(ofFold(this.#address(sequence, index), fold))
        if (block === null) return found.slice(0, index * sequence.numFolds)
        found.push(block)
      }
    }
    return found
  }

  /** Whether one of `running` is about to complete a block that `sequence` could use behind the `numFound` logical ones known. */
  isComing(sequence: Sequence, numFound: number, running: readonly Sequence[]): boolean {
    if (numFound >= this.#numUsable(sequence)) return false
    const end = (numFound + 1) * this.#blocks.blockSize
    return running.some(
      (other) =>
        other.numConfirmed < end &&
        other.tokens.length >= end &&
        this.#address(other, numFound) === this.#address(sequence, numFound),
    )
  }

  /** A step has run that computed a running sequence up to, not including, position `end`. */
  confirm(sequence: Sequence, end: number): void {
    const { blockSize } = this.#blocks
    const first = Math.floor(sequence.numConfirmed / blockSize)
    sequence.numConfirmed = end
    if (!this.#enabled) return
    for (let index = first; (index + 1) * blockSize <= end; index++) {
      for (let fold = 0; fold < sequence.numFolds; fold++) {
        const block = sequence.blocks[index * sequence.numFolds + fold]!
        this.#blocks.enter(block, ofFold(this.#address(sequence, index), fold))
      }
    }
  }

  /** How many leading blocks it may take over: none while scores of its prompt are wanted, for those need its rows. */
  #numUsable(sequence: Sequence): number {
    if (!this.#enabled || (sequence.scoresPrompt && !sequence.hasPromptScores)) return 0
    return Math.floor((sequence.numWanted - 1) / this.#blocks.blockSize)
  }

  /** Address of a full block. */
  #address(sequence: Sequence, index: number): string {
    let addresses = this.#addresses.get(sequence)
    if (!addresses) {
      addresses = []
      this.#addresses.set(sequence, addresses)
    }
    while (addresses.length <= index) addresses.push(this.#nextAddress(sequence, addresses))
    return addresses[index]!
  }

  #nextAddress({ tokens, adapter, activeFrom }: Sequence, addresses: readonly string[]): string {
    const { blockSize } = this.#blocks
    const start = addresses.length * blockSize
    const end = start + blockSize
    const works = adapter && activeFrom < end
    // What comes before an adapter's invocation is the base's; where it begins counts in all that follows.
    const begins = works && activeFrom >= start ? `/${adapter.digest}@${activeFrom}` : ''
    const before = addresses.at(-1) ?? `${this.#modelDigest}/base`
    return bytesToHex(sha256(new TextEncoder().encode(`${before}${begins}/${tokens.slice(start, end).join()}`)))
  }
}

function ofFold(address: string, fold: number): string {
  return fold === 0 ? address : `${address}+${fold}`
}
