/** Something to begin with, for each way in which a model wants to be spoken to. */
import type { PromptStyle } from '../engine/request.ts'

const PASSAGES = ['In the beginning', 'The whale', 'Fellow citizens,', 'And it came to pass that', 'There is a tide']

export const OPENINGS: Readonly<Record<PromptStyle, readonly string[]>> = {
  passage: PASSAGES,
  text: PASSAGES,
  dialogue: ['Who are you?', 'Tell me a short story about a bird.', 'What is a rainbow?', 'Give me some advice.'],
}
