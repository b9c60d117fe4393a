/** Reads what the scripts print: reports whose keys are words and name the lines they are about. */

/** A script's report. */
export type Json = Readonly<Record<string, unknown>>

/** The value behind some keys, each a name or the beginning of one. */
export function at(json: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>((value, key) => {
    if (typeof value !== 'object' || value === null) return undefined
    const entries = Object.entries(value)
    return (entries.find(([name]) => name === key) ?? entries.find(([name]) => name.startsWith(key)))?.[1]
  }, json)
}

/** The number there, or null where there is none. */
export function numberAt(json: unknown, ...keys: readonly string[]): number | null {
  const value = at(json, ...keys)
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

/** The numbers there; none where there are none. */
export function numbersAt(json: unknown, ...keys: readonly string[]): readonly number[] {
  const value = at(json, ...keys)
  return Array.isArray(value) ? value.filter((each): each is number => typeof each === 'number') : []
}

/** The objects there; none where there are none. */
export function listAt(json: unknown, ...keys: readonly string[]): readonly Json[] {
  const value = at(json, ...keys)
  return Array.isArray(value) ? value : []
}
