/** Readers for the values of flags: each takes what was typed and throws commander's error that names the flag. */
import { InvalidArgumentError } from 'commander'
import { ACCEPTABLE_REFUSALS, type AcceptableRefusal } from '../lora/errors.ts'

/** An adapter as the command line names it. */
export interface AdapterPath {
  readonly name: string
  /** A PEFT folder. */
  readonly path: string
  /** Refusals that the user knows better about. */
  readonly accept?: readonly AcceptableRefusal[]
}

/** A day: longer than that is a mistake, and timers have their limits. */
const MOST_SECONDS = 86_400

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
}

/** `512MiB`, `1.5GiB`, `200MB`, or plain bytes. */
export function readBytes(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?) *([a-z]*)$/i.exec(text.trim()) ?? []
  const factor = UNITS[(unit ?? '?').toLowerCase()]
  const bytes = Math.floor(Number(number) * (factor ?? Number.NaN))
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw new InvalidArgumentError('Give a size such as 512MiB or 2GiB.')
}

export function readPositive(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text.trim()) && Number.isSafeInteger(value) && value > 0) return value
  throw new InvalidArgumentError('Give a whole number above 0.')
}

/** Seconds, which may have a fraction. */
export function readSeconds(text: string): number {
  const value = Number(text)
  if (/^\d+(\.\d+)?$/.test(text.trim()) && value > 0 && value <= MOST_SECONDS) return value
  throw new InvalidArgumentError(`Give seconds above 0, at most ${MOST_SECONDS}.`)
}

export function readPort(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text.trim()) && value <= 65_535) return value
  throw new InvalidArgumentError('Give a port from 0 to 65535; 0 takes any that is free.')
}

/** Gathers a flag that may be given several times. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

/** Gathers names; NIM's variable holds several with commas between. */
export function collectNames(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(',').filter((name) => name !== '')]
}

/** `name=path`, or `{"name": …, "path": …, "base_model_name": …}` as vLLM takes it. */
export function collectAdapters(text: string, before: readonly AdapterPath[] = []): readonly AdapterPath[] {
  const adapter = text.trimStart().startsWith('{') ? readAdapterJson(text) : readAdapterPair(text)
  if (before.some(({ name }) => name === adapter.name)) {
    throw new InvalidArgumentError(`Two adapters are called "${adapter.name}".`)
  }
  return [...before, adapter]
}

/** The name of an adapter, or all that `collectAdapters` takes. */
export function readMerge(text: string): string | AdapterPath {
  return /^\{|=/.test(text.trimStart()) ? collectAdapters(text)[0]! : text
}

function readAdapterPair(text: string): AdapterPath {
  const at = text.indexOf('=')
  if (at > 0 && at < text.length - 1) return { name: text.slice(0, at), path: text.slice(at + 1) }
  throw new InvalidArgumentError('Give an adapter as name=path, for example pirate=./adapters/pirate.')
}

function readAdapterJson(text: string): AdapterPath {
  let value: { name?: unknown; path?: unknown; accept?: unknown }
  try {
    value = JSON.parse(text)
  } catch {
    throw new InvalidArgumentError('This is not JSON. Give an adapter as {"name": "pirate", "path": "./pirate"}.')
  }
  const { name, path, accept = [] } = value
  if (typeof name !== 'string' || name === '' || typeof path !== 'string' || path === '') {
    throw new InvalidArgumentError('An adapter in JSON needs a "name" and a "path".')
  }
  if (!Array.isArray(accept) || !accept.every(isAcceptable)) {
    throw new InvalidArgumentError(`"accept" of an adapter is a list; it may hold ${ACCEPTABLE_REFUSALS.join(', ')}.`)
  }
  return { name, path, ...(accept.length > 0 && { accept }) }
}

function isAcceptable(reason: unknown): reason is AcceptableRefusal {
  return ACCEPTABLE_REFUSALS.some((known) => known === reason)
}
