/** Attributes, items and slices, in Jinja's order: `x.name` asks the object first and its keys second, `x['name']` the other way round. */
import { JinjaError } from './error.ts'
import { method } from './methods.ts'
import {
  isDict,
  isList,
  iterate,
  type Key,
  Namespace,
  Native,
  numeric,
  repr,
  Tuple,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

export function attribute(object: Value, name: string): Value {
  if (object instanceof Undefined) object.fail()
  if (name.startsWith('_')) return new Undefined(`access to attribute '${name}' of ${described(object)} is unsafe`)
  if (object instanceof Namespace) return object.attributes.get(name) ?? missing(object, name)
  if (object instanceof Native) return object.attribute(name) ?? missing(object, name)
  const found = method(object, name)
  if (found !== null) return found
  return isDict(object) ? (object.get(name) ?? missing(object, name)) : missing(object, name)
}

export function item(object: Value, key: Value): Value {
  if (object instanceof Undefined) object.fail()
  if (isDict(object) && isKey(key) && object.has(key)) return object.get(key)!
  const index = numeric(key)
  if (index !== null && (isList(object) || typeof object === 'string')) {
    const items = iterate(object)
    return items.at(index < -items.length ? items.length : index) ?? missing(object, key)
  }
  if (typeof key !== 'string') return missing(object, key)
  return isDict(object) ? (method(object, key) ?? missing(object, key)) : attribute(object, key)
}

/** Python's slices, of texts, lists and tuples. */
export function slice(object: Value, start: Value, stop: Value, step: Value): Value {
  if (object instanceof Undefined) object.fail()
  if (!isList(object) && typeof object !== 'string') {
    throw new JinjaError(`'${typeName(object)}' object is not subscriptable by a slice`)
  }
  const items = iterate(object)
  const by = bound(step) ?? 1
  if (by === 0) throw new JinjaError('slice step cannot be zero')
  const forward = by > 0
  const clamp = (value: number | null, fallback: number): number => {
    if (value === null) return fallback
    const at = value < 0 ? value + items.length : value
    return forward ? Math.min(Math.max(at, 0), items.length) : Math.min(Math.max(at, -1), items.length - 1)
  }
  const from = clamp(bound(start), forward ? 0 : items.length - 1)
  const to = clamp(bound(stop), forward ? items.length : -1)
  const picked: Value[] = []
  for (let at = from; forward ? at < to : at > to; at += by) picked.push(items[at]!)
  if (typeof object === 'string') return picked.join('')
  return object instanceof Tuple ? tuple(...picked) : picked
}

/** How Jinja names an object in a message. */
export function described(value: Value): string {
  return value === null ? 'None' : `'${typeName(value)} object'`
}

function bound(value: Value): number | null {
  if (value === null) return null
  if (value instanceof Undefined) value.fail()
  const number = numeric(value)
  if (number !== null && Number.isInteger(number)) return number
  throw new JinjaError('slice indices must be integers or None')
}

function isKey(value: Value): value is Key {
  return value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function missing(object: Value, name: Value): Undefined {
  const what = typeof name === 'string' ? `attribute ${repr(name)}` : `element ${repr(name)}`
  return new Undefined(`${described(object)} has no ${what}`)
}
