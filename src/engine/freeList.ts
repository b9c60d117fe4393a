/**
 * The free KV blocks in the order in which they were freed: the one that has been free longest is taken first, and any
 * of them can be taken out of the middle, each in constant time. A linked list in two typed arrays, so that nothing is
 * allocated per block.
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
    invariant(!this.has(id), `Block ${id} is freed twice`)
    const tail = this.#previous[this.#anchor]!
    this.#link(tail, id)
    this.#link(id, this.#anchor)
    this.#size++
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

  #link(from: number, to: number): void {
    this.#next[from] = to
    this.#previous[to] = from
  }
}
