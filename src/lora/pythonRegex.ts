/**
 * A matcher for Python regular expressions whose time is linear in the text: Thompson's construction, all states at
 * once, nothing to backtrack. Patterns like `(a+)+$` that hang a backtracking engine cost here what any pattern of
 * their length costs; a budget of steps bounds the whole of one config.
 */
import { type Assertion, isWordCode, PythonRegexError, parsePythonRegex, type RegexNode } from './pythonRegexSyntax.ts'

export { PythonRegexError } from './pythonRegexSyntax.ts'

/** Most states one pattern may compile to; `{m,n}` is written out, so this bounds it too. */
export const MAX_REGEX_STATES = 20_000
/** Most states all patterns of one adapter's config may compile to; a name of a module has some forty. */
export const DEFAULT_REGEX_STATES = 50_000
/** What a pattern takes beside its states, in states. */
const STATES_OF_PATTERN = 16
/** Steps that all matches of one adapter's config may take together: a fraction of a second. */
export const DEFAULT_MATCH_STEPS = 10_000_000

/** Steps left to spend; shared by the matches that belong together. */
export interface MatchBudget {
  steps: number
}

/** States left to make; shared by the patterns that belong together. */
export interface StateBudget {
  states: number
}

export interface PythonRegex {
  readonly pattern: string
  /** `re.fullmatch(pattern, text) is not None`. @throws PythonRegexError when the budget runs out */
  fullmatch(text: string, budget?: MatchBudget): boolean
  /** `re.match(pattern, text) is not None`: anchored at the start only. @throws PythonRegexError when the budget runs out */
  match(text: string, budget?: MatchBudget): boolean
}

/**
 * Compiles `pattern`, in the syntax and with the meaning of Python's `re` over ASCII text.
 * @throws PythonRegexError naming what is broken, not supported, or too large
 */
export function compilePythonRegex(
  pattern: string,
  budget: StateBudget = { states: DEFAULT_REGEX_STATES },
): PythonRegex {
  const root = parsePythonRegex(pattern)
  const numStates = stateCount(root)
  if (numStates > MAX_REGEX_STATES) throw new PythonRegexError(pattern, `needs more than ${MAX_REGEX_STATES} states`)
  budget.states -= numStates + STATES_OF_PATTERN
  if (budget.states < 0) throw new PythonRegexError(pattern, 'is one of too many')
  const builder = new Builder()
  const start = builder.emit(root, ACCEPT)
  const { states } = builder
  const matches = (text: string, toTheEnd: boolean, budget: MatchBudget): boolean => {
    const result = runStates(states, start, text, toTheEnd, budget)
    if (result === null) throw new PythonRegexError(pattern, 'takes too many steps to match')
    return result
  }
  return {
    pattern,
    fullmatch: (text, budget = { steps: DEFAULT_MATCH_STEPS }) => matches(text, true, budget),
    match: (text, budget = { steps: DEFAULT_MATCH_STEPS }) => matches(text, false, budget),
  }
}

/** States that emit() will make, counted before making them; saturates far above the limit. */
function stateCount(node: RegexNode): number {
  switch (node.kind) {
    case 'set':
    case 'assertion':
      return 1
    case 'sequence':
      return node.items.reduce((sum, item) => sum + stateCount(item), 0)
    case 'alternation':
      return node.branches.reduce((sum, branch) => sum + stateCount(branch), 1)
    case 'repeat': {
      // Each optional copy has a fork of its own; an empty item still costs its copies.
      const copies = Number.isFinite(node.max) ? node.max : node.min + 1
      return copies === 0 ? 0 : copies * (stateCount(node.item) + 1)
    }
  }
}

type SetNode = Extract<RegexNode, { kind: 'set' }>

type State =
  | { readonly kind: 'accept' }
  | { readonly kind: 'set'; readonly accepts: (code: number) => boolean; readonly next: number }
  | { readonly kind: 'assertion'; readonly assertion: Assertion; readonly next: number }
  | { readonly kind: 'fork'; readonly next: number[] }

/** The state in which a text is accepted. */
const ACCEPT = 0

/** Makes the automaton, from the end backwards: every piece is told where it leads. */
class Builder {
  readonly states: State[] = [{ kind: 'accept' }]
  /** Copies of one set, as `{m,n}` makes them, share their test. */
  readonly #tests = new Map<SetNode, (code: number) => boolean>()

  /** Adds `node` in front of state `next` and answers where it begins. */
  emit(node: RegexNode, next: number): number {
    switch (node.kind) {
      case 'set':
        return this.#add({ kind: 'set', accepts: this.#test(node), next })
      case 'assertion':
        return this.#add({ kind: 'assertion', assertion: node.assertion, next })
      case 'sequence':
        return node.items.reduceRight((after, item) => this.emit(item, after), next)
      case 'alternation':
        return this.#add({ kind: 'fork', next: node.branches.map((branch) => this.emit(branch, next)) })
      case 'repeat': {
        let at = next
        if (node.max === Number.POSITIVE_INFINITY) {
          const exits = [next]
          at = this.#add({ kind: 'fork', next: exits })
          exits.push(this.emit(node.item, at))
        } else {
          for (let i = node.min; i < node.max; i++)
            at = this.#add({ kind: 'fork', next: [next, this.emit(node.item, at)] })
        }
        for (let i = 0; i < node.min; i++) at = this.emit(node.item, at)
        return at
      }
    }
  }

  #test(node: SetNode): (code: number) => boolean {
    const test = this.#tests.get(node) ?? setTest(node)
    this.#tests.set(node, test)
    return test
  }

  #add(state: State): number {
    return this.states.push(state) - 1
  }
}

/** Whether the automaton accepts `text` (or, not `toTheEnd`, a beginning of it); null when the budget ran out. */
function runStates(
  states: readonly State[],
  start: number,
  text: string,
  toTheEnd: boolean,
  budget: MatchBudget,
): boolean | null {
  const codes = Array.from(text, (char) => char.codePointAt(0)!)
  const seenAt = new Int32Array(states.length).fill(-1)
  let entering = [start]
  for (let at = 0; ; at++) {
    const code = codes[at]
    const leaving: number[] = []
    while (entering.length > 0) {
      const index = entering.pop()!
      if (seenAt[index] === at) continue
      seenAt[index] = at
      if (budget.steps-- <= 0) return null
      const state = states[index]!
      if (state.kind === 'accept') {
        if (!toTheEnd || at === codes.length) return true
      } else if (state.kind === 'fork') {
        for (const next of state.next) entering.push(next)
      } else if (state.kind === 'assertion') {
        if (holds(state.assertion, codes, at)) entering.push(state.next)
      } else if (code !== undefined && state.accepts(code)) {
        leaving.push(state.next)
      }
    }
    if (code === undefined || leaving.length === 0) return false
    entering = leaving
  }
}

/** Of how many ranges a set needs a table to be quick. */
const MANY_RANGES = 8

function setTest({ ranges, negated }: SetNode): (code: number) => boolean {
  const contains = (code: number): boolean => ranges.some(([first, last]) => code >= first && code <= last) !== negated
  const [range] = ranges
  if (ranges.length === 1 && range![0] === range![1] && !negated) return (code) => code === range![0]
  if (ranges.length < MANY_RANGES) return contains
  // A table for ASCII, so that a class of thousands of ranges tests as fast as one character.
  const ascii = new Uint8Array(128).fill(negated ? 1 : 0)
  for (const [first, last] of ranges) ascii.fill(negated ? 0 : 1, Math.min(first, 128), Math.min(last + 1, 128))
  return (code) => (code < 128 ? ascii[code] === 1 : contains(code))
}

function holds(assertion: Assertion, codes: readonly number[], at: number): boolean {
  switch (assertion) {
    case 'start':
      return at === 0
    case 'absoluteEnd':
      return at === codes.length
    case 'end':
      return at === codes.length || (at === codes.length - 1 && codes[at] === 10)
    case 'wordBoundary':
    case 'notWordBoundary': {
      // Python before 3.14: in an empty text neither \b nor \B holds.
      if (codes.length === 0) return false
      const boundary = isWordCode(codes[at - 1]) !== isWordCode(codes[at])
      return boundary === (assertion === 'wordBoundary')
    }
  }
}
