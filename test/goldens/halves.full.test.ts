/**
 * What halves cost in accuracy, on every base of the reference: the table in docs/performance.md. Differences are the largest
 * over all logits of all cases, as a share of the case's logit scale.
 */
import { afterAll, describe, expect, it } from 'vitest'
import type { EngineSizes } from '../../src/engine/sizes.ts'
import { HALF_TOLERANCE, HalfRuntime } from './halves.ts'
import { PLAIN_ADAPTERS } from './plainAdapters.ts'

const DTYPES: Readonly<Record<string, EngineSizes>> = {
  f32: {},
  activations: { activationDtype: 'F16' },
  cache: { kvCacheDtype: 'F16' },
  both: { activationDtype: 'F16', kvCacheDtype: 'F16' },
}
const table: Record<string, Record<string, string>> = {}

describe.each(Object.keys(PLAIN_ADAPTERS))('%s', (model) => {
  it.for(Object.keys(DTYPES))('%s', async (dtypes) => {
    const half = await HalfRuntime.open(model, DTYPES[dtypes]!)
    const found = await half.compare(null)
    await half.close()
    table[model] = {
      ...table[model],
      [dtypes]: found.difference.toExponential(1),
      [`${dtypes}: tokens`]: `${found.equalTokens} of ${found.tokens}, ${found.certainTokens} certain`,
    }
    expect(found.difference).toBeLessThan(HALF_TOLERANCE)
  })
})

afterAll(() => console.table(table))
