/**
 * The plans of the layer lists in use, each bound when the first adapter that runs it comes to the device and given up
 * with the last. The base's is held from the start, and by every adapter that runs the base's layers.
 */
import { invariant } from '../errors.ts'
import type { LayerList } from './layerList.ts'
import type { LayersPlan } from './layersPlan.ts'

interface Held {
  users: number
  readonly coming: Promise<LayersPlan>
  plan: LayersPlan | null
}

export class LayerPlans {
  readonly #bind: (list: LayerList) => Promise<LayersPlan>
  readonly #held = new Map<string, Held>()

  constructor(bind: (list: LayerList) => Promise<LayersPlan>) {
    this.#bind = bind
  }

  /** The plan of a list, which stays until it is released as often as it was held. @throws GpuOutOfMemoryError */
  async hold(list: LayerList): Promise<LayersPlan> {
    const held = this.#held.get(list.key) ?? { users: 0, coming: this.#bind(list), plan: null }
    this.#held.set(list.key, held)
    held.users++
    try {
      held.plan = await held.coming
    } catch (error) {
      this.#letGo(list.key, held)
      throw error
    }
    // Everything may have been closed meanwhile.
    if (this.#held.get(list.key) !== held) held.plan.params.destroy()
    return held.plan
  }

  /** Steps submitted before may still be running. */
  release({ key }: LayerList): void {
    const held = this.#held.get(key)
    if (held) this.#letGo(key, held)
  }

  /** The plan of a list that is held. */
  get({ key }: LayerList): LayersPlan {
    const plan = this.#held.get(key)?.plan
    invariant(plan, `A step runs the layers ${key}, which no adapter on the device has`)
    return plan
  }

  close(): void {
    for (const { plan } of this.#held.values()) plan?.params.destroy()
    this.#held.clear()
  }

  #letGo(key: string, held: Held): void {
    if (--held.users > 0 || this.#held.get(key) !== held) return
    held.plan?.params.destroy()
    this.#held.delete(key)
  }
}
