/**
 * The syntax of Python's `re`, as far as adapter configs use it, into a tree. Adapter configs carry regular expressions
 * (target_modules, exclude_modules, the keys of rank_pattern and alpha_pattern) and come from strangers: what is not
 * regular (lookaround, backreferences) or not understood is refused by name, never guessed at.
 *
 * Every consuming item is a set of code points; groups are only brackets here, since nobody asks what they captured.
 */
import { asParam, LorikeetError } from '../errors.ts'

/** The pattern is not valid Python, or uses something outside the subset. `param` is the pattern. */
export class PythonRegexError extends LorikeetError {
  readonly code = 'regex_invalid'
  override readonly param: string

  constructor(pattern: string, problem: string) {
    super(problem)
    this.param = asParam(pattern)
  }
}

export type Assertion = 'start' | 'end' | 'absoluteEnd' | 'wordBoundary' | 'notWordBoundary'

export type RegexNode =
  /** One code point inside (or, negated, outside) the ranges; ends are inclusive. */
  | { readonly kind: 'set'; readonly ranges: readonly CodeRange[]; readonly negated: boolean }
  | { readonly kind: 'assertion'; readonly assertion: Assertion }
  | { readonly kind: 'sequence'; readonly items: readonly RegexNode[] }
  | { readonly kind: 'alternation'; readonly branches: readonly RegexNode[] }
  | { readonly kind: 'repeat'; readonly item: RegexNode; readonly min: number; readonly max: number }

export type CodeRange = readonly [first: number, last: number]

/** Longest pattern taken, in UTF-16 units. */
export const MAX_PATTERN_LENGTH = 16_384
/** Deepest nesting of groups. */
const MAX_DEPTH = 200

/** Python's own limit on a repeat count. */
const MAX_REPEAT = 2 ** 32 - 1
const LAST_CODE_POINT = 0x10ffff
const NEWLINE = 10
// Python's \d \s \w follow Unicode; what is matched here are module names of the base, which are ASCII.
const DIGIT: readonly CodeRange[] = [[48, 57]]
const SPACE: readonly CodeRange[] = [
  [9, 13],
  [28, 32],
]
const WORD: readonly CodeRange[] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
]
const CATEGORIES: ReadonlyMap<string, readonly CodeRange[]> = new Map([
  ['d', DIGIT],
  ['s', SPACE],
  ['w', WORD],
  ['D', complement(DIGIT)],
  ['S', complement(SPACE)],
  ['W', complement(WORD)],
])
const ASSERTIONS: ReadonlyMap<string, Assertion> = new Map([
  ['A', 'start'],
  ['Z', 'absoluteEnd'],
  ['b', 'wordBoundary'],
  ['B', 'notWordBoundary'],
])
const CONTROL_ESCAPES: ReadonlyMap<string, number> = new Map([
  ['a', 7],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
  ['v', 11],
])
const HEX_ESCAPES: ReadonlyMap<string, number> = new Map([
  ['x', 2],
  ['u', 4],
  ['U', 8],
])

/** Whether `code` is one of Python's \w, over ASCII. */
export function isWordCode(code: number | undefined): boolean {
  return code !== undefined && WORD.some(([first, last]) => code >= first && code <= last)
}

/** @throws PythonRegexError */
export function parsePythonRegex(pattern: string): RegexNode {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    throw new PythonRegexError(pattern, `has ${pattern.length} characters, more than ${MAX_PATTERN_LENGTH}`)
  }
  return new Parser(pattern).parse()
}

function complement(ranges: readonly CodeRange[]): readonly CodeRange[] {
  const out: CodeRange[] = []
  let next = 0
  for (const [first, last] of ranges) {
    if (first > next) out.push([next, first - 1])
    next = last + 1
  }
  out.push([next, LAST_CODE_POINT])
  return out
}

/** Recursive descent over code points, in the order of Python's own parser so that both refuse the same things. */
class Parser {
  readonly #pattern: string
  readonly #chars: readonly string[]
  readonly #groupNames = new Set<string>()
  #at = 0
  #depth = 0

  constructor(pattern: string) {
    this.#pattern = pattern
    this.#chars = [...pattern]
  }

  parse(): RegexNode {
    const node = this.#alternation()
    if (this.#at < this.#chars.length) this.#fail('has an unbalanced parenthesis')
    return node
  }

  #alternation(): RegexNode {
    const branches = [this.#sequence()]
    while (this.#take('|')) branches.push(this.#sequence())
    return branches.length === 1 ? branches[0]! : { kind: 'alternation', branches }
  }

  #sequence(): RegexNode {
    const items: RegexNode[] = []
    while (this.#at < this.#chars.length && this.#peek() !== '|' && this.#peek() !== ')') {
      const quantifier = this.#quantifier()
      if (quantifier) {
        const item = items.pop()
        if (!item || item.kind === 'assertion') this.#fail('has nothing to repeat')
        if (item.kind === 'repeat') this.#fail('repeats a repeat')
        items.push({ kind: 'repeat', item, ...quantifier })
      } else {
        const item = this.#item()
        if (item) items.push(item)
      }
    }
    return items.length === 1 && items[0]!.kind !== 'repeat' ? items[0]! : { kind: 'sequence', items }
  }

  /** `* + ? {m,n}` and their lazy forms, which accept the same texts; null when the next characters are no quantifier. */
  #quantifier(): { min: number; max: number } | null {
    const bounds = this.#bounds()
    if (!bounds) return null
    if (this.#take('+')) this.#unsupported('a possessive quantifier')
    this.#take('?')
    return bounds
  }

  #bounds(): { min: number; max: number } | null {
    if (this.#take('*')) return { min: 0, max: Number.POSITIVE_INFINITY }
    if (this.#take('+')) return { min: 1, max: Number.POSITIVE_INFINITY }
    if (this.#take('?')) return { min: 0, max: 1 }
    if (this.#peek() !== '{') return null
    const start = this.#at++
    const low = this.#digits()
    const high = this.#take(',') ? this.#digits() : low
    // Python reads `{`, `{}` and `{x}` as plain characters, but `{,}` as `*`.
    if (this.#at === start + 1 || !this.#take('}')) {
      this.#at = start
      return null
    }
    const min = low ? Number(low) : 0
    const max = high ? Number(high) : Number.POSITIVE_INFINITY
    if (Math.max(min, Number.isFinite(max) ? max : 0) >= MAX_REPEAT) this.#fail('repeats too often')
    if (max < min) this.#fail('has a repeat whose minimum is greater than its maximum')
    return { min, max }
  }

  #digits(): string {
    let digits = ''
    while (/^[0-9]$/.test(this.#peek())) digits += this.#chars[this.#at++]!
    return digits
  }

  /** One item; null for a comment, which is none. */
  #item(): RegexNode | null {
    const char = this.#chars[this.#at++]!
    switch (char) {
      case '.':
        return { kind: 'set', ranges: [[NEWLINE, NEWLINE]], negated: true }
      case '^':
        return { kind: 'assertion', assertion: 'start' }
      case '$':
        return { kind: 'assertion', assertion: 'end' }
      case '(':
        return this.#group()
      case '[':
        return this.#class()
      case '\\':
        return this.#escape()
      default:
        return single(char.codePointAt(0)!)
    }
  }

  #group(): RegexNode | null {
    if (this.#take('?') && this.#groupExtension() === 'comment') return null
    if (++this.#depth > MAX_DEPTH) this.#fail(`nests groups deeper than ${MAX_DEPTH}`)
    const node = this.#alternation()
    this.#depth--
    if (!this.#take(')')) this.#fail('has an unterminated group')
    // Wrapped, so that `(a*)*` is a repeat of a group and not of a repeat, and `(^)*` is allowed as in Python.
    return { kind: 'sequence', items: [node] }
  }

  #groupExtension(): 'group' | 'comment' {
    const char = this.#chars[this.#at++]
    switch (char) {
      case ':':
        return 'group'
      case 'P':
        this.#groupName()
        return 'group'
      case '#':
        while (this.#at < this.#chars.length) if (this.#chars[this.#at++] === ')') return 'comment'
        return this.#fail('has an unterminated comment')
      case '=':
      case '!':
        return this.#unsupported(`lookahead (?${char}`)
      case '<':
        return this.#unsupported('lookbehind (?<')
      case '>':
        return this.#unsupported('an atomic group (?>')
      case '(':
        return this.#unsupported('a conditional group (?(')
      case undefined:
        return this.#fail('ends inside a group')
      default:
        if (/^[aiLmsux-]$/.test(char)) return this.#unsupported(`inline flags (?${char}`)
        return this.#fail(`has an unknown extension (?${char}`)
    }
  }

  #groupName(): void {
    if (this.#take('=')) this.#unsupported('a backreference (?P=')
    if (!this.#take('<')) this.#fail(`has an unknown extension (?P${this.#peek()}`)
    let name = ''
    while (this.#at < this.#chars.length && this.#peek() !== '>') name += this.#chars[this.#at++]!
    if (!this.#take('>') || !/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)) this.#fail('has a bad group name')
    if (this.#groupNames.has(name)) this.#fail(`names two groups ${JSON.stringify(name)}`)
    this.#groupNames.add(name)
  }

  /** What follows a backslash outside a class. */
  #escape(): RegexNode {
    const char = this.#chars[this.#at++]
    if (char === undefined) return this.#fail('ends with a backslash')
    const category = CATEGORIES.get(char)
    if (category) return { kind: 'set', ranges: category, negated: false }
    const assertion = ASSERTIONS.get(char)
    if (assertion) return { kind: 'assertion', assertion }
    if (/^[1-9]$/.test(char)) {
      const octal = char + (this.#chars[this.#at] ?? '') + (this.#chars[this.#at + 1] ?? '')
      if (!/^[0-7]{3}$/.test(octal)) return this.#unsupported(`a backreference \\${char}`)
    }
    return single(this.#escapedCode(char))
  }

  /** The code point of an escape that stands for one character, in a class or outside. */
  #escapedCode(char: string): number {
    const control = CONTROL_ESCAPES.get(char)
    if (control !== undefined) return control
    const hexDigits = HEX_ESCAPES.get(char)
    if (hexDigits !== undefined) {
      const digits = this.#chars.slice(this.#at, this.#at + hexDigits).join('')
      const code = /^[0-9a-fA-F]+$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN
      if (digits.length !== hexDigits || !(code <= LAST_CODE_POINT)) this.#fail(`has an incomplete escape \\${char}`)
      this.#at += hexDigits
      return code
    }
    if (/^[0-7]$/.test(char)) {
      let digits = char
      while (digits.length < 3 && /^[0-7]$/.test(this.#peek())) digits += this.#chars[this.#at++]!
      const code = Number.parseInt(digits, 8)
      if (code > 0o377) this.#fail('has an octal escape beyond \\377')
      return code
    }
    if (char === 'N') return this.#unsupported('a named character \\N')
    if (/^[a-zA-Z89]$/.test(char)) return this.#fail(`has a bad escape \\${char}`)
    return char.codePointAt(0)!
  }

  #class(): RegexNode {
    const negated = this.#take('^')
    const ranges: CodeRange[] = []
    const start = this.#at
    for (;;) {
      if (this.#at >= this.#chars.length) this.#fail('has an unterminated character set')
      // A bracket right at the start is a plain character.
      if (this.#at > start && this.#take(']')) return { kind: 'set', ranges, negated }
      const low = this.#classItem()
      if (this.#peek() !== '-' || this.#at + 1 >= this.#chars.length || this.#chars[this.#at + 1] === ']') {
        ranges.push(...(typeof low === 'number' ? [[low, low] as const] : low))
        continue
      }
      this.#at++
      const high = this.#classItem()
      if (typeof low !== 'number' || typeof high !== 'number' || high < low)
        return this.#fail('has a bad character range')
      ranges.push([low, high])
    }
  }

  /** A code point, or the ranges of a category. */
  #classItem(): number | readonly CodeRange[] {
    const char = this.#chars[this.#at++]!
    if (char !== '\\') return char.codePointAt(0)!
    const escaped = this.#chars[this.#at++]
    if (escaped === undefined) return this.#fail('ends with a backslash')
    if (escaped === 'b') return 8
    return CATEGORIES.get(escaped) ?? this.#escapedCode(escaped)
  }

  #peek(): string {
    return this.#chars[this.#at] ?? ''
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at++
    return true
  }

  #unsupported(what: string): never {
    return this.#fail(`uses ${what}, which is not supported`)
  }

  #fail(problem: string): never {
    throw new PythonRegexError(this.#pattern, problem)
  }
}

function single(code: number): RegexNode {
  return { kind: 'set', ranges: [[code, code]], negated: false }
}
