/** The filters of the template language that go over sequences and dicts. */
import { item } from './access.ts'
import { Arguments } from './arguments.ts'
import { JinjaError } from './error.ts'
import type { ByName, Filter } from './filter.ts'
import { arithmetic, order } from './operators.ts'
import {
  equals,
  Generator,
  isDict,
  iterate,
  type Kwargs,
  str,
  truthy,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

/** Name and filter, ready for a Map. */
export function createSequenceFilters(byName: ByName): [string, Filter][] {
  return [
    ...Object.entries(FILTERS),
    ['map', (value, args, kwargs) => lazily(value, (items) => items.map(mapper(byName, args, kwargs)))],
    ['select', picking(byName, true, false)],
    ['reject', picking(byName, false, false)],
    ['selectattr', picking(byName, true, true)],
    ['rejectattr', picking(byName, false, true)],
  ]
}

const FILTERS: Readonly<Record<string, Filter>> = {
  list: (value) => [...iterate(value)],
  first: (value) => iterate(value)[0] ?? new Undefined('No first item, sequence was empty.'),
  last: (value) => reversible(value).at(-1) ?? new Undefined('No last item, sequence was empty.'),
  reverse: (value) => {
    if (typeof value === 'string') return [...value].reverse().join('')
    const items = [...reversible(value)].reverse()
    return new Generator(() => items)
  },
  items: (value) => {
    return new Generator(() => {
      if (value instanceof Undefined) return []
      if (isDict(value)) return [...value].map(([key, one]) => tuple(key, one))
      throw new JinjaError('Can only get item pairs from a mapping.')
    })
  },
  join: (value, args, kwargs) => {
    const given = new Arguments('join', ['d', 'attribute'], args, kwargs)
    const get = getter(given.get('attribute') ?? null)
    return iterate(value)
      .map((one) => str(get(one)))
      .join(str(given.get('d') ?? ''))
  },
  sum: (value, args, kwargs) => {
    const given = new Arguments('sum', ['attribute', 'start'], args, kwargs)
    const get = getter(given.get('attribute') ?? null)
    return iterate(value).reduce<Value>((total, one) => arithmetic('+', total, get(one)), given.get('start') ?? 0)
  },
  min: (value, args, kwargs) => extreme('min', -1, value, args, kwargs),
  max: (value, args, kwargs) => extreme('max', 1, value, args, kwargs),
  sort: (value, args, kwargs) => {
    const given = new Arguments('sort', ['reverse', 'case_sensitive', 'attribute'], args, kwargs)
    return sorted(iterate(value), sortKey(given), given.flag('reverse', false))
  },
  unique: (value, args, kwargs) => {
    const key = keyOf(new Arguments('unique', ['case_sensitive', 'attribute'], args, kwargs))
    return new Generator(() => {
      const seen: Value[] = []
      return iterate(value).filter((one) => {
        const own = key(one)
        const known = seen.some((other) => equals(other, own))
        if (!known) seen.push(own)
        return !known
      })
    })
  },
  dictsort: (value, args, kwargs) => {
    const given = new Arguments('dictsort', ['case_sensitive', 'by', 'reverse'], args, kwargs)
    if (!isDict(value)) throw new JinjaError(`dictsort: '${typeName(value)}' object is not a dict`)
    const by = given.text('by', 'key')
    if (by !== 'key' && by !== 'value') throw new JinjaError("You can only sort by either 'key' or 'value'")
    const fold = folding(given.flag('case_sensitive', false))
    const pairs = [...value].map(([key, one]) => tuple(key, one))
    return sorted(pairs, (one) => fold((one as readonly Value[])[by === 'key' ? 0 : 1]!), given.flag('reverse', false))
  },
  batch: (value, args, kwargs) => {
    const given = new Arguments('batch', ['linecount', 'fill_with'], args, kwargs)
    const size = given.int('linecount', 0)
    const fill = given.get('fill_with') ?? null
    return new Generator(() => {
      if (size < 1) throw new JinjaError('batch: linecount must be at least 1')
      const items = iterate(value)
      const rows: Value[][] = []
      for (let at = 0; at < items.length; at += size) rows.push(items.slice(at, at + size))
      const last = rows.at(-1)
      while (fill !== null && last !== undefined && last.length < size) last.push(fill)
      return rows
    })
  },
}

/** A generator over the items of `value`; what is false has none, even what cannot be iterated. */
function lazily(value: Value, make: (items: readonly Value[]) => readonly Value[]): Generator {
  return new Generator(() => (truthy(value) ? make(iterate(value)) : []))
}

/** What `last` and `reverse` take: Python cannot go through a generator backwards. */
function reversible(value: Value): readonly Value[] {
  if (value instanceof Generator) throw new JinjaError("'generator' object is not reversible")
  return iterate(value)
}

/** `attribute='a.b'` or a number: the path into an item; the item itself without one. */
function getter(attribute: Value, fallback: Value = null): (value: Value) => Value {
  if (attribute === null) return (value) => value
  const parts: Value[] =
    typeof attribute === 'string'
      ? attribute.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part))
      : [attribute]
  return (value) =>
    parts.reduce((at, part) => {
      const found = item(at, part)
      return found instanceof Undefined && fallback !== null ? fallback : found
    }, value)
}

/** Texts are compared without regard to case unless asked. */
function folding(caseSensitive: boolean): (value: Value) => Value {
  return (value) => (typeof value === 'string' && !caseSensitive ? value.toLowerCase() : value)
}

/** The key that unique, min and max compare by. */
function keyOf(given: Arguments): (value: Value) => Value {
  const fold = folding(given.flag('case_sensitive', false))
  const get = getter(given.get('attribute') ?? null)
  return (value) => fold(get(value))
}

/** The key that sort compares by: a list, since `attribute='a,b'` compares by several. */
function sortKey(given: Arguments): (value: Value) => Value {
  const fold = folding(given.flag('case_sensitive', false))
  const attribute = given.get('attribute') ?? null
  const paths: readonly Value[] = typeof attribute === 'string' ? attribute.split(',') : [attribute]
  const getters = paths.map((path) => getter(path))
  return (value) => getters.map((get) => fold(get(value)))
}

/** Stable in both directions, as Python's sort is. */
function sorted(values: readonly Value[], key: (value: Value) => Value, reverse: boolean): Value[] {
  const keyed = values.map((value) => ({ value, key: key(value) }))
  keyed.sort((a, b) => (reverse ? order(b.key, a.key) : order(a.key, b.key)))
  return keyed.map(({ value }) => value)
}

function extreme(name: string, sign: 1 | -1, value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const key = keyOf(new Arguments(name, ['case_sensitive', 'attribute'], args, kwargs))
  const items = iterate(value)
  if (items.length === 0) return new Undefined('No aggregated item, sequence was empty.')
  return items.reduce((best, one) => (sign * order(key(one), key(best)) > 0 ? one : best))
}

/** map('filter', ...) or map(attribute='x', default=y). */
function mapper(byName: ByName, args: readonly Value[], kwargs: Kwargs): (value: Value) => Value {
  if (args.length === 0 && kwargs.has('attribute')) {
    const given = new Arguments('map', ['attribute', 'default'], [], kwargs)
    return getter(given.need('attribute'), given.get('default') ?? null)
  }
  const [name, ...rest] = args
  if (typeof name !== 'string') throw new JinjaError('map requires a filter argument')
  return (value) => byName.filter(name, value, rest, kwargs)
}

/** select, reject, selectattr, rejectattr: by a named test, or by being true. */
function picking(byName: ByName, keep: boolean, byAttribute: boolean): Filter {
  return (value, args) => {
    const [attribute, name, ...rest] = byAttribute ? args : [null, ...args]
    return lazily(value, (items) => {
      if (attribute === undefined) throw new JinjaError('Missing parameter for attribute name')
      if (name !== undefined && typeof name !== 'string') throw new JinjaError('the name of a test must be a string')
      const get = getter(attribute)
      const holds = (one: Value): boolean => (name === undefined ? truthy(one) : byName.test(name, one, rest))
      return items.filter((one) => holds(get(one)) === keep)
    })
  }
}
