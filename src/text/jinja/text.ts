/** Python's string functions that JavaScript has no equal of. */
import { JinjaError } from './error.ts'
import { SPACE } from './values.ts'

const BLANK = new RegExp(`[${SPACE}]`)
const WORDS = new RegExp(`[^${SPACE}]+`, 'g')
// Written as text: a literal with control characters in it would not be readable.
const LINE_END = '\\r\\n|[\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029]'
const LINES = new RegExp(LINE_END)

/** str.strip and its kin: whitespace, or any of `characters`. */
export function strip(text: string, sides: 'both' | 'left' | 'right', characters: string | null = null): string {
  const all = characters === null ? text : [...text]
  const set = new Set(characters)
  const goes = (character: string): boolean => (characters === null ? BLANK.test(character) : set.has(character))
  let from = 0
  let to = all.length
  while (sides !== 'right' && from < to && goes(all[from]!)) from++
  while (sides !== 'left' && to > from && goes(all[to - 1]!)) to--
  return typeof all === 'string' ? all.slice(from, to) : all.slice(from, to).join('')
}

/** str.split and str.rsplit; `limit` is the most cuts, -1 for no limit; no separator means runs of whitespace. */
export function split(text: string, separator: string | null, limit: number, fromRight = false): string[] {
  if (separator === '') throw new JinjaError('empty separator')
  if (separator === null) return splitWords(text, limit, fromRight)
  const parts = text.split(separator)
  if (limit < 0 || parts.length <= limit + 1) return parts
  const cut = fromRight ? parts.length - limit : limit
  return fromRight
    ? [parts.slice(0, cut).join(separator), ...parts.slice(cut)]
    : [...parts.slice(0, cut), parts.slice(cut).join(separator)]
}

/** What is not cut keeps its inner and outer whitespace. */
function splitWords(text: string, limit: number, fromRight: boolean): string[] {
  const found = [...text.matchAll(WORDS)]
  const words = found.map(([word]) => word)
  if (limit < 0 || words.length <= limit) return words
  if (!fromRight) return [...words.slice(0, limit), text.slice(found[limit]!.index)]
  const cut = words.length - limit
  const last = found[cut - 1]!
  return [text.slice(0, last.index + last[0].length), ...words.slice(cut)]
}

export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = []
  let rest = text
  while (rest !== '') {
    const found = LINES.exec(rest)
    if (found === null) return [...lines, rest]
    const end = found.index + found[0].length
    lines.push(rest.slice(0, keepEnds ? end : found.index))
    rest = rest.slice(end)
  }
  return lines
}

/** str.replace; `count` -1 for all. An empty `from` is found between all characters. */
export function replace(text: string, from: string, to: string, count: number): string {
  if (count < 0 && from !== '') return text.replaceAll(from, () => to)
  const parts = from === '' ? ['', ...text, ''] : text.split(from)
  const replaced = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1)
  const head = parts.slice(0, replaced + 1).join(to)
  return replaced === parts.length - 1 ? head : [head, ...parts.slice(replaced + 1)].join(from)
}

/** str.capitalize: first character upper, the rest lower. */
export function capitalize(text: string): string {
  const [first = '', ...rest] = text
  return first.toUpperCase() + rest.join('').toLowerCase()
}

/** str.title: a letter after a non-letter is upper, every other lower. */
export function titleCase(text: string): string {
  return text.replace(/\p{L}+/gu, (word) => capitalize(word))
}
