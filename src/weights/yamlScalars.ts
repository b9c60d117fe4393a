/**
 * The scalars of YAML: what quotes, escapes, folded lines and plain words stand for, as PyYAML reads them.
 */
import type { JsonValue } from './json.ts'

/** Where and why a text is not YAML of this kind. Callers that know the file wrap it in their own LorikeetError. */
export class YamlSyntaxError extends Error {
  override readonly name = 'YamlSyntaxError'
  /** Counted from 1. */
  readonly line: number

  constructor(problem: string, line: number) {
    super(`${problem} at line ${line}`)
    this.line = line
  }
}

/** One quoted text, where the expression is set to look. */
export const QUOTED: RegExp = /'(?:[^']|'')*'|"(?:[^"\\]|\\[\s\S])*"/y

/** The text between the quotes, which may stand over several lines; a comment may follow. */
export function quotedText(whole: string, line: number): string {
  QUOTED.lastIndex = 0
  const quoted = QUOTED.exec(whole)?.[0]
  if (quoted === undefined || withoutComment(whole.slice(quoted.length)) !== '') {
    throw new YamlSyntaxError('A quoted text that does not end, or goes on behind its end', line)
  }
  const inner = quoted.slice(1, -1)
  if (quoted.startsWith("'")) return fold(inner.split('\n')).replaceAll("''", "'")
  return inner.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])|\n+/g, (match, code?: string) => {
    if (code === undefined) return foldedBreaks(match.length)
    // A backslash before the line's end joins the lines.
    return code === '\n' ? '' : unescaped(code, line)
  })
}

function unescaped(code: string, line: number): string {
  const hex = code.length > 1 ? Number.parseInt(code.slice(1), 16) : Number.NaN
  const text = hex <= 0x10ffff ? String.fromCodePoint(hex) : ESCAPES.get(code)
  if (text === undefined) throw new YamlSyntaxError(`An escape that is not supported: \\${code}`, line)
  return text
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['0', '\0'],
  ['a', '\x07'],
  ['b', '\b'],
  ['t', '\t'],
  ['n', '\n'],
  ['v', '\v'],
  ['f', '\f'],
  ['r', '\r'],
  ['e', '\x1b'],
  [' ', ' '],
  ['"', '"'],
  ['/', '/'],
  ['\\', '\\'],
  ['N', '\x85'],
  ['_', '\xa0'],
  ['L', '\u2028'],
  ['P', '\u2029'],
])

/** Without a comment behind the value; a `#` inside quotes, or without a space before it, is text. */
export function withoutComment(text: string): string {
  QUOTED.lastIndex = 0
  const quoted = QUOTED.exec(text)?.[0] ?? ''
  const comment = / #|^#/.exec(text.slice(quoted.length))
  return (comment ? text.slice(0, quoted.length + comment.index) : text).trimEnd()
}

/** Lines joined as quotes and `>` join them: by a space, or by the empty lines between them. */
export function fold(lines: readonly string[]): string {
  return lines.join('\n').replace(/\n+/g, (breaks) => foldedBreaks(breaks.length))
}

function foldedBreaks(count: number): string {
  return count === 1 ? ' ' : '\n'.repeat(count - 1)
}

const WORDS: ReadonlyMap<string, boolean | null> = new Map<string, boolean | null>([
  ...['', '~', 'null', 'Null', 'NULL'].map((word) => [word, null] as const),
  ...['true', 'True', 'TRUE', 'yes', 'Yes', 'YES', 'on', 'On', 'ON'].map((word) => [word, true] as const),
  ...['false', 'False', 'FALSE', 'no', 'No', 'NO', 'off', 'Off', 'OFF'].map((word) => [word, false] as const),
])

/** As PyYAML resolves plain text: words, decimal numbers, else text. */
export function plainScalar(text: string, line: number): JsonValue {
  const word = WORDS.get(text)
  if (word !== undefined) return word
  if (/^[-+]?(?:0|[1-9]\d*)$/.test(text)) return Number(text)
  if (/^(?:[-+]?\d+\.\d*|\.\d+)(?:[eE][-+]\d+)?$/.test(text)) return Number(text)
  if (/^[@`%]/.test(text)) throw new YamlSyntaxError('A value that begins with a reserved character', line)
  return text
}
