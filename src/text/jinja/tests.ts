/** The tests of the template language: what may stand after `is`, and as an argument of `select` and `selectattr`. */
import { JinjaError } from './error.ts'
import { compare } from './operators.ts'
import {
  equals,
  Float,
  Generator,
  isDict,
  isList,
  Native,
  numeric,
  str,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

type Test = (value: Value, args: readonly Value[]) => boolean

/** `known`: the names of all filters and tests, for the tests called `filter` and `test`. */
export function createTests(filters: ReadonlySet<string>): ReadonlyMap<string, Test> {
  const tests = new Map<string, Test>(Object.entries(TESTS))
  tests.set('filter', (value) => typeof value === 'string' && filters.has(value))
  tests.set('test', (value) => typeof value === 'string' && tests.has(value))
  return tests
}

const equal: Test = (value, args) => equals(value, argument(args))
const unequal: Test = (value, args) => !equals(value, argument(args))
const greater: Test = (value, args) => compare('>', value, argument(args))
const greaterEqual: Test = (value, args) => compare('>=', value, argument(args))
const less: Test = (value, args) => compare('<', value, argument(args))
const lessEqual: Test = (value, args) => compare('<=', value, argument(args))

const TESTS: Readonly<Record<string, Test>> = {
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  true: (value) => value === true,
  false: (value) => value === false,
  boolean: (value) => typeof value === 'boolean',
  integer: (value) => typeof value === 'number',
  float: (value) => value instanceof Float,
  number: (value) => numeric(value) !== null,
  string: (value) => typeof value === 'string',
  mapping: isDict,
  sequence: (value) => isList(value) || isDict(value) || typeof value === 'string' || value instanceof Undefined,
  iterable: (value) =>
    isList(value) ||
    isDict(value) ||
    typeof value === 'string' ||
    value instanceof Generator ||
    value instanceof Undefined,
  callable: (value) => typeof value === 'function' || value instanceof Native || value instanceof Undefined,
  escaped: () => false,
  odd: (value) => remainder(value, 2) === 1,
  even: (value) => remainder(value, 2) === 0,
  divisibleby: (value, args) => remainder(value, needNumber(argument(args))) === 0,
  lower: (value) => str(value) !== str(value).toUpperCase() && str(value) === str(value).toLowerCase(),
  upper: (value) => str(value) !== str(value).toLowerCase() && str(value) === str(value).toUpperCase(),
  sameas: (value, args) => {
    const other = argument(args)
    return value === other || (value instanceof Float && other instanceof Float && value.value === other.value)
  },
  in: (value, args) => compare('in', value, argument(args)),
  eq: equal,
  equalto: equal,
  ne: unequal,
  gt: greater,
  greaterthan: greater,
  ge: greaterEqual,
  lt: less,
  lessthan: less,
  le: lessEqual,
  // Only as arguments of select and its kin, where a test is named by a text.
  '==': equal,
  '!=': unequal,
  '>': greater,
  '>=': greaterEqual,
  '<': less,
  '<=': lessEqual,
}

function argument(args: readonly Value[]): Value {
  if (args.length !== 1) throw new JinjaError(`a test that takes one argument was given ${args.length}`)
  return args[0]!
}

function needNumber(value: Value): number {
  if (value instanceof Undefined) value.fail()
  const number = numeric(value)
  if (number === null) throw new JinjaError(`a number is required, not ${typeName(value)}`)
  return number
}

function remainder(value: Value, by: number): number {
  const number = needNumber(value)
  if (by === 0) throw new JinjaError('modulo by zero')
  return number - Math.floor(number / by) * by
}
