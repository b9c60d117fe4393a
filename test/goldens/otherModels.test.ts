/** The other architectures, and a checkpoint in shards. */
import { describe } from 'vitest'
import { describeGoldens } from './describeGoldens.ts'
import { PLAIN_ADAPTERS } from './plainAdapters.ts'

const others = Object.keys(PLAIN_ADAPTERS).filter((model) => model !== 'llama-tiny')

describe.each([...others, 'llama-tiny-sharded'])('%s', describeGoldens)
