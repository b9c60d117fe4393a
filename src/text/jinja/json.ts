/** json.dumps as transformers sets it for `tojson`: no HTML escapes, characters beyond ASCII as they are. */
import { JinjaError } from './error.ts'
import { Float, floatText, isDict, isList, repr, typeName, Undefined, type Value } from './values.ts'

export interface JsonOptions {
  readonly ensureAscii: boolean
  /** One level's indentation; null for one line. */
  readonly indent: string | null
  /** Between items, and between a key and its value; null for Python's defaults. */
  readonly separators: readonly [string, string] | null
  readonly sortKeys: boolean
}

export function toJson(value: Value, options: JsonOptions): string {
  const [between, colon] = options.separators ?? [options.indent === null ? ', ' : ',', ': ']
  const quote = (text: string): string => {
    const quoted = JSON.stringify(text)
    return options.ensureAscii ? quoted.replace(/[\x7f-\uffff]/g, escaped) : quoted
  }
  const wrap = (open: string, items: readonly string[], close: string, depth: number): string => {
    if (items.length === 0) return open + close
    if (options.indent === null) return open + items.join(between) + close
    const outer = `\n${options.indent.repeat(depth)}`
    return open + items.map((item) => outer + options.indent + item).join(between) + outer + close
  }
  const write = (item: Value, depth: number): string => {
    if (item === null) return 'null'
    if (typeof item === 'boolean' || typeof item === 'number')
      return typeof item === 'number' ? repr(item) : String(item)
    if (item instanceof Float) return jsonFloat(item.value)
    if (typeof item === 'string') return quote(item)
    if (isList(item))
      return wrap(
        '[',
        item.map((one) => write(one, depth + 1)),
        ']',
        depth,
      )
    if (isDict(item)) {
      const entries = [...item].map(([key, one]) => [keyText(key), one] as const)
      if (options.sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      return wrap(
        '{',
        entries.map(([key, one]) => quote(key) + colon + write(one, depth + 1)),
        '}',
        depth,
      )
    }
    if (item instanceof Undefined) throw new JinjaError(`tojson: ${item.message}`)
    throw new JinjaError(`Object of type ${typeName(item)} is not JSON serializable`)
  }
  return write(value, 0)
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  return Number.isFinite(value) ? floatText(value) : value > 0 ? 'Infinity' : '-Infinity'
}

function keyText(key: string | number | boolean | null): string {
  if (key === null) return 'null'
  return typeof key === 'string' ? key : String(key)
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
