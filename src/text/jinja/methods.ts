/**
 * Methods of Python's str, list, tuple and dict. Those that would change their object are refused, as in the sandbox
 * transformers renders in.
 */
import { Arguments } from './arguments.ts'
import { JinjaError } from './error.ts'
import { strFormat } from './format.ts'
import { capitalize, replace, split, splitLines, strip, titleCase } from './text.ts'
import {
  type Callable,
  equals,
  isDict,
  isList,
  iterate,
  type Key,
  type Kwargs,
  numeric,
  repeat,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

type Method<Self> = (self: Self, args: readonly Value[], kwargs: Kwargs) => Value

/** The method `name` of `value`, bound to it; null if it has none. */
export function method(value: Value, name: string): Callable | null {
  const found =
    typeof value === 'string'
      ? bind(STRING, value, name)
      : isList(value)
        ? bind(LIST, value, name)
        : isDict(value)
          ? bind(DICT, value, name)
          : null
  if (found !== null) return found
  const changing = isList(value) ? LIST_CHANGING : isDict(value) ? DICT_CHANGING : []
  return changing.includes(name) ? () => refuse(value, name) : null
}

const LIST_CHANGING: readonly string[] = ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort']
const DICT_CHANGING: readonly string[] = ['clear', 'pop', 'popitem', 'setdefault', 'update']

function bind<Self>(methods: ReadonlyMap<string, Method<Self>>, self: Self, name: string): Callable | null {
  const found = methods.get(name)
  return found === undefined ? null : (args, kwargs) => found(self, args, kwargs)
}

function refuse(value: Value, name: string): never {
  throw new JinjaError(`'${typeName(value)}.${name}' changes its object, which a template may not do`)
}

/** A method without arguments. */
function plain(name: string, make: (text: string) => Value): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      new Arguments(name, [], args, kwargs)
      return make(self)
    },
  ]
}

function stripping(name: string, sides: 'both' | 'left' | 'right'): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      const characters = new Arguments(name, ['chars'], args, kwargs).get('chars') ?? null
      if (characters !== null && typeof characters !== 'string') throw new JinjaError(`${name} arg must be None or str`)
      return strip(self, sides, characters)
    },
  ]
}

function splitting(name: string, fromRight: boolean): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      const given = new Arguments(name, ['sep', 'maxsplit'], args, kwargs)
      const separator = given.get('sep') ?? null
      if (separator !== null && typeof separator !== 'string') {
        throw new JinjaError(`must be str or None, not ${typeName(separator)}`)
      }
      return split(self, separator, given.int('maxsplit', -1), fromRight)
    },
  ]
}

/** startswith and endswith take one text or a tuple of them, and a range. */
function edge(name: 'startswith' | 'endswith'): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      const given = new Arguments(name, ['affix', 'start', 'end'], args, kwargs)
      const affix = given.need('affix')
      const text = within(self, given)
      return (isList(affix) ? affix : [affix]).some((one) => {
        if (one instanceof Undefined) one.fail()
        if (typeof one !== 'string') {
          throw new JinjaError(`${name} first arg must be str or a tuple of str, not ${typeName(one)}`)
        }
        return name === 'startswith' ? text.startsWith(one) : text.endsWith(one)
      })
    },
  ]
}

function within(self: string, given: Arguments): string {
  if (given.get('start') === undefined) return self
  return [...self]
    .slice(given.int('start', 0), given.get('end') === undefined ? undefined : given.int('end', 0))
    .join('')
}

/** find and index count characters; `missing` says what to do when there is none. */
function finding(name: string, last: boolean, missing: () => number): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      const wanted = new Arguments(name, ['sub'], args, kwargs).text('sub')
      const at = last ? self.lastIndexOf(wanted) : self.indexOf(wanted)
      return at === -1 ? missing() : [...self.slice(0, at)].length
    },
  ]
}

function justify(name: string, left: (missing: number, width: number) => number): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      const given = new Arguments(name, ['width', 'fillchar'], args, kwargs)
      const width = given.int('width', 0)
      const missing = width - [...self].length
      const fill = given.text('fillchar', ' ')
      if (missing <= 0) return self
      const before = left(missing, width)
      return repeat(fill, before) + self + repeat(fill, missing - before)
    },
  ]
}

function partition(name: string, last: boolean): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      const separator = new Arguments(name, ['sep'], args, kwargs).text('sep')
      if (separator === '') throw new JinjaError('empty separator')
      const at = last ? self.lastIndexOf(separator) : self.indexOf(separator)
      if (at === -1) return last ? tuple('', '', self) : tuple(self, '', '')
      return tuple(self.slice(0, at), separator, self.slice(at + separator.length))
    },
  ]
}

function removing(name: string, side: 'prefix' | 'suffix'): [string, Method<string>] {
  return [
    name,
    (self, args, kwargs) => {
      const affix = new Arguments(name, [side], args, kwargs).text(side)
      if (affix === '') return self
      if (side === 'prefix') return self.startsWith(affix) ? self.slice(affix.length) : self
      return self.endsWith(affix) ? self.slice(0, -affix.length) : self
    },
  ]
}

function absent(what: string): never {
  throw new JinjaError(what)
}

const STRING: ReadonlyMap<string, Method<string>> = new Map([
  stripping('strip', 'both'),
  stripping('lstrip', 'left'),
  stripping('rstrip', 'right'),
  splitting('split', false),
  splitting('rsplit', true),
  edge('startswith'),
  edge('endswith'),
  finding('find', false, () => -1),
  finding('rfind', true, () => -1),
  finding('index', false, () => absent('substring not found')),
  finding('rindex', true, () => absent('substring not found')),
  justify('ljust', () => 0),
  justify('rjust', (missing) => missing),
  // The odd space goes left when the width is odd, as in CPython.
  justify('center', (missing, width) => (missing >> 1) + (missing & width & 1)),
  partition('partition', false),
  partition('rpartition', true),
  removing('removeprefix', 'prefix'),
  removing('removesuffix', 'suffix'),
  plain('upper', (text) => text.toUpperCase()),
  plain('lower', (text) => text.toLowerCase()),
  plain('casefold', (text) => text.toLowerCase()),
  plain('title', titleCase),
  plain('capitalize', capitalize),
  plain('isdigit', (text) => /^\p{Nd}+$/u.test(text)),
  plain('isnumeric', (text) => /^\p{N}+$/u.test(text)),
  plain('isalpha', (text) => /^\p{L}+$/u.test(text)),
  plain('isalnum', (text) => /^[\p{L}\p{N}]+$/u.test(text)),
  plain('isspace', (text) => text !== '' && strip(text, 'both') === ''),
  plain('isupper', (text) => text !== text.toLowerCase() && text === text.toUpperCase()),
  plain('islower', (text) => text !== text.toUpperCase() && text === text.toLowerCase()),
  [
    'splitlines',
    (self, args, kwargs) =>
      splitLines(self, new Arguments('splitlines', ['keepends'], args, kwargs).flag('keepends', false)),
  ],
  [
    'replace',
    (self, args, kwargs) => {
      const given = new Arguments('replace', ['old', 'new', 'count'], args, kwargs)
      return replace(self, given.text('old'), given.text('new'), given.int('count', -1))
    },
  ],
  [
    'join',
    (self, args, kwargs) => {
      const items = iterate(new Arguments('join', ['iterable'], args, kwargs).need('iterable'))
      return items
        .map((item, i) => {
          if (typeof item === 'string') return item
          throw new JinjaError(`sequence item ${i}: expected str instance, ${typeName(item)} found`)
        })
        .join(self)
    },
  ],
  [
    'count',
    (self, args, kwargs) => {
      const wanted = new Arguments('count', ['sub'], args, kwargs).text('sub')
      return wanted === '' ? [...self].length + 1 : self.split(wanted).length - 1
    },
  ],
  [
    'zfill',
    (self, args, kwargs) => {
      const missing = new Arguments('zfill', ['width'], args, kwargs).int('width', 0) - [...self].length
      if (missing <= 0) return self
      return /^[-+]/.test(self) ? self[0] + repeat('0', missing) + self.slice(1) : repeat('0', missing) + self
    },
  ],
  ['format', (self, args, kwargs) => strFormat(self, args, kwargs)],
])

const LIST: ReadonlyMap<string, Method<readonly Value[]>> = new Map<string, Method<readonly Value[]>>([
  [
    'index',
    (self, args, kwargs) => {
      const wanted = new Arguments('index', ['value'], args, kwargs).need('value')
      const at = self.findIndex((item) => equals(item, wanted))
      return at === -1 ? absent('the value is not in the list') : at
    },
  ],
  [
    'count',
    (self, args, kwargs) => {
      const wanted = new Arguments('count', ['value'], args, kwargs).need('value')
      return self.filter((item) => equals(item, wanted)).length
    },
  ],
  ['copy', (self) => [...self]],
])

const DICT: ReadonlyMap<string, Method<ReadonlyMap<Key, Value>>> = new Map<string, Method<ReadonlyMap<Key, Value>>>([
  ['items', (self) => [...self].map(([key, value]) => tuple(key, value))],
  ['keys', (self) => [...self.keys()]],
  ['values', (self) => [...self.values()]],
  ['copy', (self) => new Map(self)],
  [
    'get',
    (self, args, kwargs) => {
      const given = new Arguments('get', ['key', 'default'], args, kwargs)
      const key = given.need('key')
      const known = numeric(key) ?? key
      return self.get(known as Key) ?? given.get('default') ?? null
    },
  ],
])
