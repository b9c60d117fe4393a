/**
 * Findings about kernels in the origin's Cache Storage: unlike localStorage it is there in workers, too, and unlike files
 * of OPFS it can be written from a page. Where there is none (insecure pages), both functions reject and nothing is kept.
 */
import type { TuningStore } from '../../model/tuner/tuningStore.ts'

const NAME = 'lorikeet-tuning'

export const tuningCache: TuningStore = {
  async read(key) {
    const found = await (await caches.open(NAME)).match(addressOf(key))
    return found ? await found.text() : null
  },
  async write(key, text) {
    await (await caches.open(NAME)).put(addressOf(key), new Response(text))
  },
}

/** A cache goes by addresses; nothing is ever asked of this one. */
function addressOf(key: string): string {
  return `https://tuning.invalid/${encodeURIComponent(key)}`
}
