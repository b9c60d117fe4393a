/** Patterns in Python's syntax, as configs bring them: also those that hang a matcher that backtracks. */
import { compilePythonRegex } from '../../../src/lora/pythonRegex.ts'
import { MAX_PATTERN_LENGTH } from '../../../src/lora/pythonRegexSyntax.ts'
import type { Dice } from '../dice.ts'
import { mutateText, nested } from '../mutate.ts'
import { type Files, must, type Target, text } from '../target.ts'

const TOKENS = [
  ...[
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '*',
    '+',
    '?',
    '|',
    '^',
    '$',
    '.',
    '\\',
    '{,}',
    '{1,',
    '{2}',
    '{0,99999}',
    '{4294967295}',
    '(?:',
    '(?P<a>',
  ],
  ...[
    '(?=',
    '(?!',
    '(?<=',
    '(?>',
    '(?i)',
    '(?#',
    '\\1',
    '\\b',
    '\\B',
    '\\A',
    '\\Z',
    '\\d',
    '\\W',
    '\\x41',
    '\\u00e9',
    '\\N',
    '\\p',
    '[^',
    '-',
    '[]',
    '[z-a]',
  ],
]
const ATOMS = [
  'a',
  'b',
  '.',
  '\\w',
  '\\d',
  '\\.',
  '[a-z]',
  '[^.]',
  'layers',
  'q_proj',
  '\\b',
  '^',
  '$',
  '(?:)',
  '()',
  '[\\d_]',
  'é',
]
const QUANTIFIERS = ['*', '+', '?', '*?', '+?', '??', '{2}', '{0,3}', '{2,}', '{,4}', '{10,40}', '{0}', '{200}']
/** Patterns whose backtracking is exponential or of a high power. */
const BOMBS = [
  '(a+)+$',
  '(a*)*b',
  '(a|a)*c',
  '(a|aa)+$',
  '(.*a){20}',
  '(.*.*)*x',
  '((a?){30})(a{30})',
  '(\\w+\\.?)+!',
  '([a-z]+)*\\d',
  '(x+x+)+y',
]

/** A pattern of nested groups, alternations and quantifiers. */
export function regexPattern(dice: Dice, depth = 3): string {
  if (dice.chance(0.1)) return dice.pick(BOMBS)
  const item = (): string => {
    const atom =
      depth > 0 && dice.chance(0.3) ? `(${dice.pick(['', '?:'])}${regexPattern(dice, depth - 1)})` : dice.pick(ATOMS)
    return dice.chance(0.4) ? atom + dice.pick(QUANTIFIERS) : atom
  }
  const sequence = (): string => dice.list(dice.small(0, 5), item).join('')
  return dice.list(dice.small(1, 3), sequence).join('|')
}

const subjects = (dice: Dice): string =>
  dice.pick([
    () => 'model.layers.0.self_attn.q_proj',
    () => 'a'.repeat(dice.small(0, 120)),
    () => `${'a'.repeat(dice.small(0, 120))}!`,
    () => dice.list(dice.small(0, 40), () => dice.pick(['a', 'b', '.', '_', '0', 'é', '\n', '🦜'])).join(''),
  ])()

const files = (pattern: string, subject: string): Files => ({ pattern: text(pattern), subject: text(subject) })
const long = 'a'.repeat(2000)

export const regex: Target = {
  name: 'regex',
  make(dice) {
    const honest = regexPattern(dice)
    return files(dice.chance(0.6) ? honest : mutateText(dice, honest, TOKENS), subjects(dice))
  },
  heavy: [
    ...BOMBS.map((bomb) => () => files(bomb, `${long}!`)),
    () => files('(((a{1,50}){1,50}){1,50}){1,50}', long),
    () => files('(a{0,100}){0,100}', long),
    () => files('(a?){9000}', long),
    () => files(nested('(', 'a*', ')*', 199), long),
    () => files(nested('(', 'a', ')', 8000), long),
    () => files('(){0,19000}', long),
    () => files('.*'.repeat(8000), long),
    () => files('a|'.repeat(8000), long),
    () => files(`[${'a-z'.repeat(5000)}]*x`, long),
    () => files('[^a]|'.repeat(3000), long),
    () => files('{1'.repeat(8000), long),
    () => files(`{${'1'.repeat(16_000)}`, long),
    () => files('(?P<a'.repeat(3000), long),
    () => files('x'.repeat(MAX_PATTERN_LENGTH + 1), long),
    () => files('\\b'.repeat(8000), long),
  ],
  async run({ files: { pattern, subject } }) {
    const [written, against] = [pattern, subject].map((bytes) => new TextDecoder().decode(bytes))
    const compiled = compilePythonRegex(written!)
    // A match of the whole is one of the beginning.
    must(!compiled.fullmatch(against!) || compiled.match(against!), 'fullmatch without match')
    return 0
  },
}
