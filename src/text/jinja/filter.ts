/** What a filter is, and how filters that apply others reach them. */
import type { Kwargs, Value } from './values.ts'

export type Filter = (value: Value, args: readonly Value[], kwargs: Kwargs) => Value

/** Calls of filters and tests by name, for `map`, `select` and their kin. Throw for an unknown name. */
export interface ByName {
  filter(name: string, value: Value, args: readonly Value[], kwargs: Kwargs): Value
  test(name: string, value: Value, args: readonly Value[]): boolean
}
