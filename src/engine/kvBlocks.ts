/**
 * Who owns which physical block of the KV cache. The cache is cut into blocks of `blockSize` tokens, and a sequence
 * owns whole blocks, wherever they lie. A block may have several owners (sequences that begin with the same tokens);
 * it is free again when the last one lets go. A block may have an address under which its content is found, and keeps
 * it while it is free, until it is taken for something else. No GPU in here: a block is a number.
 */
import { invariant } from '../errors.ts'
import { FreeList } from './freeList.ts'

export class KvBlocks {
  readonly numBlocks: number
  /** Tokens in a block. */
  readonly blockSize: number
  readonly #numOwners: Uint32Array
  /** Next to be reused is at the head: blocks that nobody can find, then those that have been free longest. */
  readonly #free: FreeList
  readonly #addresses: (string | undefined)[] = []
  readonly #byAddress = new Map<string, number>()

  constructor(numBlocks: number, blockSize: number) {
    this.numBlocks = numBlocks
    this.blockSize = blockSize
    this.#numOwners = new Uint32Array(numBlocks)
    this.#free = new FreeList(numBlocks)
  }

  /** Tokens that all blocks hold together. */
  get numTokens(): number {
    return this.numBlocks * this.blockSize
  }

  get numFree(): number {
    return this.#free.size
  }

  /** Share of the blocks that is owned, 0..1. */
  get usage(): number {
    return this.numBlocks === 0 ? 0 : 1 - this.numFree / this.numBlocks
  }

  /** Blocks that `numTokens` tokens need. */
  blocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize)
  }

  canAllocate(count: number): boolean {
    return count <= this.numFree
  }

  /** Takes `count` free blocks for one owner. What they held is forgotten. */
  allocate(count: number): number[] {
    invariant(this.canAllocate(count), `${count} KV blocks are wanted, ${this.numFree} are free`)
    return Array.from({ length: count }, () => {
      const block = this.#free.shift()
      this.#forget(block)
      this.#numOwners[block] = 1
      return block
    })
  }

  /** How many of `blocks` would leave the free list if they were shared. */
  countFree(blocks: readonly number[]): number {
    return blocks.filter((block) => this.#free.has(block)).length
  }

  /** One more owner for each of `blocks`, free or not. */
  share(blocks: readonly number[]): void {
    for (const block of blocks) {
      if (this.#free.has(block)) this.#free.remove(block)
      this.#numOwners[block]!++
    }
  }

  /** One owner lets go of its blocks, given in the order of its tokens: the last of them will be reused first. */
  free(blocks: readonly number[]): void {
    for (const block of blocks.toReversed()) {
      invariant(this.#numOwners[block]! > 0, `Block ${block} is freed but has no owner`)
      if (--this.#numOwners[block]! > 0) continue
      if (this.#addresses[block] === undefined) this.#free.unshift(block)
      else this.#free.push(block)
    }
  }

  /** The block with this address, owned or free, or null. */
  find(address: string): number | null {
    return this.#byAddress.get(address) ?? null
  }

  /** Makes an owned block known under an address. The first block known under it stays. */
  enter(block: number, address: string): void {
    invariant(this.#numOwners[block]! > 0, `Block ${block} is entered but has no owner`)
    if (this.#byAddress.has(address) || this.#addresses[block] !== undefined) return
    this.#addresses[block] = address
    this.#byAddress.set(address, block)
  }

  /** Throws InvariantError unless `tables`, the blocks of every owner, are exactly what is not free. */
  checkIntegrity(tables: Iterable<readonly number[]>): void {
    const numOwners = new Uint32Array(this.numBlocks)
    for (const table of tables) {
      invariant(new Set(table).size === table.length, `A block stands twice in the table ${table}`)
      for (const block of table) numOwners[block]!++
    }
    for (let block = 0; block < this.numBlocks; block++) {
      const [booked, actual] = [this.#numOwners[block]!, numOwners[block]!]
      invariant(booked === actual, `Block ${block} is booked for ${booked} owners and has ${actual}`)
      invariant(
        this.#free.has(block) === (actual === 0),
        `Block ${block} has ${actual} owners and is on the wrong list`,
      )
    }
  }

  #forget(block: number): void {
    const address = this.#addresses[block]
    if (address === undefined) return
    this.#addresses[block] = undefined
    this.#byAddress.delete(address)
  }
}
