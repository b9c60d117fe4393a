/** Bases that fuse projections, and kinds of adapters that the first reference lacks (fixtures/kinds). */
import { describe } from 'vitest'
import { describeAll, type GoldenTests } from './describeGoldens.ts'
import { adaptersOf } from './golden.ts'

/** Adapters of a model that is here, or of one of the first reference. */
function testsOf(model: string, here: boolean): GoldenTests {
  const names = adaptersOf(model, 'kinds')
  const folder = `${here ? 'kinds' : 'reference'}/models/${model}`
  return { model, names: here ? [null, ...names] : names, folder, root: 'kinds' }
}

describe.each([
  testsOf('phi3-tiny', true),
  testsOf('phi3-long-tiny', true),
  testsOf('llama-tiny', false),
  testsOf('llama3-tiny', false),
])('$model', describeAll)
