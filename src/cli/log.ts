/** The command line's log: one line an event, for people or (as JSON lines) for machines. */
import type { LogLevel, LogSink } from '../api/service.ts'

export interface LogOptions {
  /** What is less important is left out. */
  readonly level: LogLevel
  readonly format: 'pretty' | 'json'
  /** Takes one line without its end. */
  readonly write: (line: string) => void
  /** Colours in pretty lines. */
  readonly color?: boolean
  readonly now?: () => Date
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }
const COLOR: Readonly<Record<LogLevel, string>> = { debug: '\x1b[2m', info: '', warn: '\x1b[33m', error: '\x1b[31m' }

export function createLog({ level, format, write, color = false, now = () => new Date() }: LogOptions): LogSink {
  return (at, message, fields = {}) => {
    if (RANK[at] < RANK[level]) return
    if (format === 'json') {
      // The log's own names win over fields of the same name.
      write(JSON.stringify({ ...fields, time: now().toISOString(), level: at, message }))
      return
    }
    const line = `${now().toISOString().slice(11, 23)} ${at.padEnd(5)} ${message}${prettyFields(fields)}`
    write(color && COLOR[at] !== '' ? `${COLOR[at]}${line}\x1b[0m` : line)
  }
}

/** `key=value` pairs; text with several lines (a stack) goes below. */
function prettyFields(fields: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(fields).map(([key, value]) => [key, asText(value)] as const)
  const short = entries.filter(([, text]) => !text.includes('\n')).map(([key, text]) => ` ${key}=${text}`)
  const long = entries
    .filter(([, text]) => text.includes('\n'))
    .map(([, text]) => `\n  ${text.replaceAll('\n', '\n  ')}`)
  return [...short, ...long].join('')
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
}
