/**
 * Which stretches of a slab are free: first fit in address order, neighbours joined when freed. Units are the caller's.
 *
 * What is lost is bounded. Every extent is rounded up to `granule`, so less than one granule each; and free stretches that
 * lie apart become one when the extents between them are slid down, so that as much fits as is free (compaction.ts).
 */
import { invariant } from '../errors.ts'

export interface Extent {
  readonly offset: number
  readonly length: number
}

export class ExtentAllocator {
  readonly capacity: number
  readonly #granule: number
  /** Free extents by offset; never adjacent, never empty. */
  #free: Extent[]

  constructor(capacity: number, granule: number) {
    this.capacity = Math.floor(capacity / granule) * granule
    this.#granule = granule
    this.#free = this.capacity > 0 ? [{ offset: 0, length: this.capacity }] : []
  }

  get freeLength(): number {
    return this.#free.reduce((sum, { length }) => sum + length, 0)
  }

  /** The longest extent that could be allocated now. */
  get largestFree(): number {
    return this.#free.reduce((most, { length }) => Math.max(most, length), 0)
  }

  /**
   * The free stretch into which what lies behind it should be slid, one extent after the other, until `length` fits: where
   * that moves least. Null where not so much is free.
   */
  cheapestGap(length: number): Extent | null {
    const wanted = this.#round(length)
    let cheapest: Extent | null = null
    let least = Infinity
    let free = 0
    let last = -1
    for (const gap of this.#free) {
      while (free < wanted && ++last < this.#free.length) free += this.#free[last]!.length
      if (free < wanted) break
      const { offset, length: lastLength } = this.#free[last]!
      const moved = offset + lastLength - gap.offset - free
      if (moved < least) {
        least = moved
        cheapest = gap
      }
      free -= gap.length
    }
    return cheapest
  }

  /** Whether `length` would fit if everything that is free were one stretch. */
  hasFree(length: number): boolean {
    return this.#round(length) <= this.freeLength
  }

  canAllocate(length: number): boolean {
    return this.#round(length) <= this.largestFree
  }

  /** The first extent that fits, or null when there is none. */
  allocate(length: number): Extent | null {
    const wanted = this.#round(length)
    const index = this.#free.findIndex((extent) => extent.length >= wanted)
    if (index < 0) return null
    const { offset, length: available } = this.#free[index]!
    if (available === wanted) this.#free.splice(index, 1)
    else this.#free[index] = { offset: offset + wanted, length: available - wanted }
    return { offset, length: wanted }
  }

  /** Gives back an extent exactly as allocate() returned it. */
  free({ offset, length }: Extent): void {
    let index = this.#free.findIndex((extent) => extent.offset > offset)
    if (index < 0) index = this.#free.length
    const before = this.#free[index - 1]
    const after = this.#free[index]
    invariant(!before || before.offset + before.length <= offset, 'An extent was freed twice')
    invariant(!after || offset + length <= after.offset, 'An extent was freed twice')
    const joinsBefore = before && before.offset + before.length === offset
    const joinsAfter = after && offset + length === after.offset
    const joined: Extent = {
      offset: joinsBefore ? before.offset : offset,
      length: length + (joinsBefore ? before.length : 0) + (joinsAfter ? after.length : 0),
    }
    this.#free.splice(index - (joinsBefore ? 1 : 0), (joinsBefore ? 1 : 0) + (joinsAfter ? 1 : 0), joined)
  }

  /** Moves an extent that lies right behind a free stretch to the start of that. */
  slideDown(extent: Extent): Extent {
    const index = this.#free.findIndex(({ offset, length }) => offset + length === extent.offset)
    invariant(index >= 0, 'An extent has no room to slide down')
    this.free(extent)
    const { offset, length } = this.#free[index]!
    this.#free[index] = { offset: offset + extent.length, length: length - extent.length }
    return { offset, length: extent.length }
  }

  #round(length: number): number {
    return Math.ceil(length / this.#granule) * this.#granule
  }
}
