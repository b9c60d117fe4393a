/**
 * Checks a body against a schema and answers in the client's terms: the path of the field, what was expected, what came.
 * Nothing is ignored in silence: a field that is known elsewhere and not done here is refused by name, and the names of
 * fields that nobody knows are handed back.
 */
import { type GenericSchema, getDotPath, safeParse } from 'valibot'
import { InvalidRequestError, UnknownFieldError } from './errors.ts'
import { refuseUnsupported } from './unsupported.ts'

/** One schema for each field of `Params`. */
export type Fields<Params> = { readonly [Field in keyof Params]-?: GenericSchema<unknown, Params[Field]> }

/** A valibot object schema for `Params`. */
export type ParamsSchema<Params> = GenericSchema<unknown, Params> & { readonly entries: Fields<Params> }

export interface Valid<Params> {
  readonly params: Params
  /** Fields of the body that have no meaning here. */
  readonly ignored: readonly string[]
}

/**
 * @throws InvalidRequestError for the first field that is wrong, UnsupportedFieldError for one that is known but not
 * implemented, UnknownFieldError with `strict`.
 */
export function validate<Params>(
  schema: ParamsSchema<Params>,
  body: Readonly<Record<string, unknown>>,
  options: { readonly strict: boolean },
): Valid<Params> {
  const foreign = Object.keys(body).filter((field) => !Object.hasOwn(schema.entries, field))
  const ignored = refuseUnsupported(body, foreign)
  if (ignored.length > 0 && options.strict) throw new UnknownFieldError(ignored)
  return { params: parse(schema, body), ignored }
}

/** The value as the schema has it. @throws InvalidRequestError for the first thing that is wrong */
export function parse<Value>(schema: GenericSchema<unknown, Value>, value: unknown): Value {
  const result = safeParse(schema, value, { abortEarly: true })
  if (!result.success) throw toError(result.issues[0])
  return result.output
}

interface Issue {
  readonly kind: string
  readonly message: string
  readonly expected: string | null
  readonly input: unknown
}

function toError(issue: Issue): InvalidRequestError {
  const path = (getDotPath(issue as never) ?? '').replace(/(?:^|\.)(\d+)(?=\.|$)/g, '[$1]')
  // Range checks carry their whole sentence; type checks are worded here.
  if (issue.kind === 'validation') return new InvalidRequestError(issue.message, path || null)
  if (issue.input === undefined) return new InvalidRequestError(`\`${path}\` is required.`, path)
  const expected = EXPECTED[issue.expected ?? ''] ?? issue.message
  return new InvalidRequestError(`\`${path}\` must be ${expected}, got ${show(issue.input)}.`, path)
}

/** Our words for valibot's types; a union, picklist or variant brings its own as its message. */
const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  boolean: 'true or false',
  Array: 'an array',
  Object: 'an object',
}

/** A value as the client wrote it, cut to what fits a message. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
