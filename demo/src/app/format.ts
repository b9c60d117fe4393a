/** Numbers as people read them. */

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB']

/** In powers of 1000, three digits: `9.06 MB`. */
export function bytesText(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : digits(value)} ${UNITS[unit]}`
}

/** Three digits at most, none behind the point from 100 on. */
export function digits(value: number): string {
  if (value >= 99.95) return value.toFixed(0)
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2)
}

/** Milliseconds as `4.2 ms`, `840 ms` or `2.31 s`. */
export function durationText(ms: number): string {
  if (ms >= 999.5) return `${digits(ms / 1000)} s`
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`
}

/** `1 token`, `2 tokens`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

const NUMBER_WORDS = [
  'No',
  'One',
  'Two',
  'Three',
  'Four',
  'Five',
  'Six',
  'Seven',
  'Eight',
  'Nine',
  'Ten',
  'Eleven',
  'Twelve',
]

/** Small numbers in words, as a heading wants them. */
export function numberWord(count: number): string {
  return NUMBER_WORDS[count] ?? String(count)
}
