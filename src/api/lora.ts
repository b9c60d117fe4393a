/**
 * `lora`, llama.cpp's field of a request: adapters of the base, each with a scale. The base named as `model` with two of
 * them is W x + the sum of scale * (what each adds); an adapter named as `model` is that adapter alone.
 */
import {
  array,
  check,
  type GenericSchema,
  integer,
  maxLength,
  nullish,
  number,
  pipe,
  strictObject,
  string,
} from 'valibot'
import type { AdapterLease } from '../engine/generation.ts'
import type { AdapterWeight } from '../lora/composition.ts'
import { AdapterNotFoundError, InvalidRequestError, ModelNotFoundError } from './errors.ts'
import type { ResolvedModel } from './models.ts'
import type { Service } from './service.ts'

/** One of `id` and `name`. */
export interface LoraEntry {
  /** As in `GET /lora-adapters`. */
  readonly id?: number | null | undefined
  readonly name?: string | null | undefined
  readonly scale: number
}

export type LoraParam = readonly LoraEntry[] | null | undefined

/** Adapters that one request may name. */
const MAX_ENTRIES = 64
/** Nothing above it makes sense, and far above it f32 ends. */
const MAX_SCALE = 1000

const entry = pipe(
  strictObject(
    {
      id: nullish(
        pipe(
          number(),
          integer(({ input }) => `An id must be an integer, got ${input}.`),
        ),
      ),
      name: nullish(string()),
      scale: pipe(
        number(),
        check(
          (scale) => Math.abs(scale) <= MAX_SCALE,
          ({ input }) => `scale must be in [-${MAX_SCALE}, ${MAX_SCALE}], got ${input}.`,
        ),
      ),
    },
    'one of id, name and scale',
  ),
  check(
    ({ id, name }) => (id ?? null) === null || (name ?? null) === null,
    'An adapter is named by id or by name, not by both.',
  ),
  check(({ id, name }) => (id ?? null) !== null || (name ?? '') !== '', 'An adapter needs an id or a name.'),
)

export const loraList: GenericSchema<unknown, readonly LoraEntry[]> = pipe(
  array(entry),
  maxLength(MAX_ENTRIES, ({ input }) => `lora must hold at most ${MAX_ENTRIES} adapters, got ${input.length}.`),
)

export const loraField: GenericSchema<unknown, LoraParam> = nullish(loraList)

/**
 * The adapters of a request; none for the base. Those of scale 0 are left out, as if they had not been named.
 * @throws ModelNotFoundError, AdapterNotFoundError, InvalidRequestError
 */
export function adaptersOf(service: Service, model: ResolvedModel, lora: LoraParam): readonly AdapterWeight[] {
  if ((lora ?? []).length > 0 && model.adapter !== null) {
    const message = `\`lora\` is for the base, and \`model\` names the adapter \`${model.adapter}\`. Name the base as \`model\`, and all adapters in \`lora\`.`
    throw new InvalidRequestError(message, 'lora')
  }
  if (model.adapter !== null) return [{ name: model.adapter, scale: 1 }]
  return lora ? namedIn(service, lora, 'lora') : service.defaultScales.weights(service.adapters)
}

/**
 * What a list names, without what has scale 0.
 * @param path of the list in the body
 * @throws ModelNotFoundError, AdapterNotFoundError, InvalidRequestError for an adapter that is named twice
 */
export function namedIn(service: Service, lora: readonly LoraEntry[], path: string): readonly AdapterWeight[] {
  const seen = new Set<string>()
  const weights = lora.map((each, index) => {
    const name = nameOf(service, each, `${path}[${index}]`)
    if (seen.has(name)) throw new InvalidRequestError(`The adapter \`${name}\` is named twice.`, `${path}[${index}]`)
    seen.add(name)
    return { name, scale: each.scale }
  })
  return weights.filter(({ scale }) => scale !== 0)
}

/** Whether it is an adapter as it is. */
export function isPlain(adapters: readonly AdapterWeight[]): boolean {
  return adapters.length === 1 && adapters[0]!.scale === 1
}

/** A lease on the adapters, null for none. @throws ModelNotFoundError if one has just gone, AdapterRefusedError */
export async function leaseFor(
  service: Service,
  { model, adapters }: { readonly model: ResolvedModel; readonly adapters: readonly AdapterWeight[] },
): Promise<AdapterLease | null> {
  const [first] = adapters
  if (!first) return null
  const lease = isPlain(adapters)
    ? await service.adapters.lease(first.name)
    : await service.compositions.lease(adapters)
  if (lease) return lease
  if (model.adapter !== null) throw new ModelNotFoundError(model.name)
  const gone = adapters.find(({ name }) => !service.adapters.find(name)) ?? first
  throw new ModelNotFoundError(gone.name, 'lora')
}

function nameOf({ adapters }: Service, { id, name }: LoraEntry, path: string): string {
  if (name) {
    if (adapters.find(name)) return name
    throw new ModelNotFoundError(name, `${path}.name`)
  }
  const found = adapters.list().find((card) => card.id === id)
  if (found) return found.name
  throw new AdapterNotFoundError(`${path}.id`, `No adapter has the id ${id}. GET /lora-adapters lists them.`)
}
