/**
 * `/lora-adapters`, llama.cpp's view of adapters: a list of them by number, each with the scale it has for requests that
 * name no adapter. llama.cpp starts with all of them at 1; here they start at 0, because here a request names the adapter
 * it wants, and one that names the base is to get the base.
 */
import type { Exchange } from './exchange.ts'
import { isPlain, type LoraEntry, namedIn } from './lora.ts'
import { requireControl } from './runtimeLora.ts'
import type { Service } from './service.ts'

export interface LoraScaleJson {
  readonly id: number
  readonly name: string
  readonly path: string
  readonly scale: number
}

/** In the order in which they were loaded. */
export function loraScales({ adapters, defaultScales }: Service): readonly LoraScaleJson[] {
  const all = adapters.list().map(({ id, name, root }) => ({ id, name, path: root, scale: defaultScales.scaleOf(id) }))
  return all.sort((one, other) => one.id - other.id)
}

/**
 * Sets all scales: what is not listed is 0. Requests that have begun keep what they have.
 * @throws what a request with this list as its `lora` would be answered with; nothing is set then
 */
export async function setLoraScales(
  { service, requestId }: Exchange,
  list: readonly LoraEntry[],
): Promise<{ readonly success: true }> {
  requireControl(service)
  const weights = namedIn(service, list, '')
  if (!isPlain(weights)) await service.compositions.check(weights)
  service.defaultScales.set(service.adapters, weights)
  service.log('info', 'default scales of adapters were set by request', { requestId, scales: weights })
  return { success: true }
}
