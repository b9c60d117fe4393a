/**
 * The free KV blocks in the order in which they will be reused. They come at either end and leave at the head or out of
 * the middle, each in constant time: a linked list in two typed arrays, so that nothing is allocated per block.
 */
import { invariant } from '../errors.ts'

export class FreeList {
  /** Number of ids on the list. */
  get size(): number {
    return this.#size
  }

  // Ring of numIds + 1 nodes. The last node is the anchor: its successor is the head, its predecessor the tail.
  // A node that is not on the list is its own successor.
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #anchor: number
  #size: number

  /** Holds the ids 0 .. numIds - 1, all of them at first, 0 at the head. */
  constructor(numIds: number) {
    const numNodes = numIds + 1
    this.#next = Int32Array.from({ length: numNodes }, (_, node) => (node + 1) % numNodes)
    this.#previous = Int32Array.from({ length: numNodes }, (_, node) => (node + numNodes - 1) % numNodes)
    this.#anchor = numIds
    this.#size = numIds
  }

  has(id: number): boolean {
    return this.#next[id] !== id
  }

  /** Adds an id at the tail. */
  push(id: number): void {
    this.#insert(this.#previous[this.#anchor]!, id, this.#anchor)
  }

  /** Adds an id at the head. */
  unshift(id: number): void {
    this.#insert(this.#anchor, id, this.#next[this.#anchor]!)
  }

  /** Takes the id at the head. */
  shift(): number {
    const head = this.#next[this.#anchor]!
    invariant(head !== this.#anchor, 'No KV block is free')
    this.remove(head)
    return head
  }

  /** Takes one id, wherever it stands. */
  remove(id: number): void {
    invariant(this.has(id), `Block ${id} is not free`)
    this.#link(this.#previous[id]!, this.#next[id]!)
    this.#link(id, id)
    this.#size--
  }

  #insert(before: number, id: number, after: number): void {
    invariant(!this.has(id), `Block ${id} is freed twice`)
    this.#link(before, id)
    this.#link(id, after)
    this.#size++
  }

  #link(from: number, to: number): void {
    this.#next[from] = to
    this.#previous[to] = from
  }
}
