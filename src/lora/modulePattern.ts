/**
 * How PEFT's config points at modules: a list of names, a regular expression over the whole path, or (rank_pattern,
 * alpha_pattern) a regular expression over the end of it. Compiled once per config, matched against every module.
 */
import { AdapterRefusedError, shown } from './errors.ts'
import {
  compilePythonRegex,
  type MatchBudget,
  type PythonRegex,
  PythonRegexError,
  type StateBudget,
} from './pythonRegex.ts'

/** Says whether a module, by its path in the base (`model.layers.0.mlp.up_proj`), is meant. */
export type ModuleTest = (path: string, budget: MatchBudget) => boolean

/** A list of names: a module is meant by its whole path, or by any number of its last parts. */
export function nameTest(names: ReadonlySet<string>): ModuleTest {
  return (path) => {
    if (names.has(path)) return true
    for (let dot = path.indexOf('.'); dot >= 0; dot = path.indexOf('.', dot + 1)) {
      if (names.has(path.slice(dot + 1))) return true
    }
    return false
  }
}

/** Whether `path` ends with one of the names, at a dot or not. */
export function endTest(names: readonly string[]): (path: string) => boolean {
  const ends = new Set(names)
  return (path) => {
    for (let start = 0; start < path.length; start++) if (ends.has(path.slice(start))) return true
    return false
  }
}

/** Whether one of the names is a part of `path`, or several that follow each other. */
export function partTest(names: readonly string[]): (path: string) => boolean {
  const parts = new Set(names)
  return (path) => {
    for (let start = 0; start >= 0; start = path.indexOf('.', start) + 1 || -1) {
      for (let end = path.indexOf('.', start); end >= 0; end = path.indexOf('.', end + 1)) {
        if (parts.has(path.slice(start, end))) return true
      }
      if (parts.has(path.slice(start))) return true
    }
    return false
  }
}

/** `re.fullmatch(pattern, path)`. @throws AdapterRefusedError naming `field` */
export function fullPathTest(field: string, pattern: string, states?: StateBudget): ModuleTest {
  const regex = compile(field, pattern, pattern, states)
  return (path, budget) => guarded(field, pattern, () => regex.fullmatch(path, budget))
}

/** What comparing two names costs, in steps of a regular expression. */
const STEPS_OF_NAME = 4

/** `re.match(rf"(.*\.)?({key})$", path)`. @throws AdapterRefusedError naming `field` */
export function pathEndTest(field: string, key: string, states?: StateBudget): ModuleTest {
  // Most keys are names or whole paths, often a thousand of them: those need no automaton.
  if (/^[A-Za-z0-9_.]+$/.test(key)) {
    return (path, budget) => {
      budget.steps -= STEPS_OF_NAME
      if (budget.steps < 0) throw refusal(field, key, 'is one of too many to match')
      return endsWithPath(path, key)
    }
  }
  const regex = compile(field, key, `(.*\\.)?(${key})$`, states)
  return (path, budget) => guarded(field, key, () => regex.match(path, budget))
}

/** The last parts of `path` are `key`, in which a dot stands for any character, as in the expression it is. */
function endsWithPath(path: string, key: string): boolean {
  const start = path.length - key.length
  if (start < 0 || (start > 0 && path[start - 1] !== '.')) return false
  for (let i = 0; i < key.length; i++) if (key[i] !== '.' && key[i] !== path[start + i]) return false
  return true
}

function compile(field: string, written: string, pattern: string, states?: StateBudget): PythonRegex {
  return guarded(field, written, () => compilePythonRegex(pattern, states))
}

function guarded<T>(field: string, written: string, act: () => T): T {
  try {
    return act()
  } catch (cause) {
    if (!(cause instanceof PythonRegexError)) throw cause
    throw refusal(field, written, cause.message, { cause })
  }
}

function refusal(field: string, written: string, problem: string, options?: ErrorOptions): AdapterRefusedError {
  const message = `adapter_config.json: ${field} has the regular expression ${shown(written)}, which ${problem}.`
  return new AdapterRefusedError('adapter_pattern_invalid', field, message, options)
}
