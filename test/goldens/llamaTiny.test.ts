/** The model that most reference adapters belong to: one of every kind. */
import { describe } from 'vitest'
import { describeGoldens } from './describeGoldens.ts'

describe('llama-tiny', () => describeGoldens('llama-tiny'))
