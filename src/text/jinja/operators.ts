/** Python's arithmetic and comparisons. What Python refuses (a list added to a string) is refused here too. */
import { JinjaError } from './error.ts'
import { printf } from './format.ts'
import type { Arithmetic, Comparison } from './nodes.ts'
import {
  equals,
  Float,
  Generator,
  isDict,
  isList,
  iterate,
  type Key,
  MAX_ITEMS,
  numeric,
  repeat,
  Tuple,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

export function arithmetic(operator: Arithmetic, left: Value, right: Value): Value {
  if (left instanceof Undefined) left.fail()
  if (typeof left === 'string' && operator === '%') return printf(left, right)
  if (right instanceof Undefined) right.fail()
  const a = numeric(left)
  const b = numeric(right)
  if (a !== null && b !== null) return numbers(operator, a, b, left instanceof Float || right instanceof Float)
  if (operator === '+') {
    if (typeof left === 'string' && typeof right === 'string') return left + right
    if (isList(left) && isList(right) && left instanceof Tuple === right instanceof Tuple) {
      return left instanceof Tuple ? tuple(...left, ...right) : [...left, ...right]
    }
    if (typeof left === 'string') throw new JinjaError(`can only concatenate str (not "${typeName(right)}") to str`)
  }
  if (operator === '*') {
    const times = right instanceof Float ? null : sequenceTimes(left, b)
    const mirrored = left instanceof Float ? null : sequenceTimes(right, a)
    if (times !== null || mirrored !== null) return times ?? mirrored
  }
  throw new JinjaError(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`)
}

export function negate(value: Value, sign: 1 | -1): Value {
  if (value instanceof Undefined) value.fail()
  const number = numeric(value)
  if (number === null)
    throw new JinjaError(`bad operand type for unary ${sign === 1 ? '+' : '-'}: '${typeName(value)}'`)
  // An int has no negative zero.
  return value instanceof Float ? new Float(sign * number) : sign * number + 0
}

export function compare(operator: Comparison, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return equals(left, right)
    case '!=':
      return !equals(left, right)
    case 'in':
      return contains(right, left)
    case 'not in':
      return !contains(right, left)
    case '<':
      return order(left, right, operator) < 0
    case '<=':
      return order(left, right, operator) <= 0
    case '>':
      return order(left, right, operator) > 0
    case '>=':
      return order(left, right, operator) >= 0
  }
}

/** Negative, zero or positive, like a sort function; an error for values Python does not order. */
export function order(left: Value, right: Value, operator: string = '<'): number {
  if (left instanceof Undefined) left.fail()
  if (right instanceof Undefined) right.fail()
  const a = numeric(left)
  const b = numeric(right)
  if (a !== null && b !== null) return a - b
  if (typeof left === 'string' && typeof right === 'string') return left < right ? -1 : left > right ? 1 : 0
  if (isList(left) && isList(right)) {
    const at = left.findIndex((item, i) => i >= right.length || !equals(item, right[i]!))
    return at === -1 || at >= right.length ? left.length - right.length : order(left[at]!, right[at]!, operator)
  }
  throw new JinjaError(`'${operator}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`)
}

export function contains(container: Value, item: Value): boolean {
  if (typeof container === 'string') {
    if (item instanceof Undefined) item.fail()
    if (typeof item === 'string') return container.includes(item)
    throw new JinjaError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
  }
  if (isDict(container)) return !(item instanceof Tuple) && container.has(key(item))
  if (isList(container) || container instanceof Generator || container instanceof Undefined) {
    return iterate(container).some((one) => equals(one, item))
  }
  throw new JinjaError(`argument of type '${typeName(container)}' is not iterable`)
}

/** A value as a dict's key. */
export function key(value: Value): Key {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value
  if (value instanceof Float) return value.value
  throw new JinjaError(`unhashable type: '${typeName(value)}'`)
}

function numbers(operator: Arithmetic, a: number, b: number, float: boolean): Value {
  const made = (result: number): Value => {
    if (!Number.isFinite(result)) throw new JinjaError(`the result of ${operator} is too large`)
    return float ? new Float(result) : result + 0
  }
  switch (operator) {
    case '+':
      return made(a + b)
    case '-':
      return made(a - b)
    case '*':
      return made(a * b)
    case '**':
      if (a === 0 && b < 0) throw new JinjaError('0.0 cannot be raised to a negative power')
      return b < 0 ? new Float(a ** b) : made(a ** b)
  }
  if (b === 0) throw new JinjaError(operator === '%' ? 'modulo by zero' : 'division by zero')
  if (operator === '/') return new Float(a / b)
  if (operator === '//') return made(Math.floor(a / b))
  const rest = a % b
  return made(rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest)
}

function sequenceTimes(value: Value, times: number | null): Value | null {
  if (times === null) return null
  if (typeof value === 'string') return repeat(value, times)
  if (!isList(value)) return null
  if (value.length * times > MAX_ITEMS) throw new JinjaError(`a list of ${value.length * times} items is too long`)
  const items = Array.from({ length: Math.max(0, times) }, () => value).flat()
  return value instanceof Tuple ? tuple(...items) : items
}
