/** One voice's column: its colour, its figures, its words. */
import { useComputed } from '@preact/signals'
import type { JSX } from 'preact'
import type { Answer, AnswerState } from '../app/answer.ts'
import { durationText } from '../app/format.ts'
import { LiveText } from '../app/LiveText.tsx'
import { usePage } from '../app/page.ts'
import { VoiceHead } from './VoiceHead.tsx'

export function Lane({ answer }: { readonly answer: Answer }): JSX.Element {
  const { session } = usePage()
  const state = answer.state.value
  const { ask, text } = answer
  const isPassage = session.style.value !== 'dialogue'
  return (
    <VoiceHead
      voice={answer.voice}
      class={`lane ${state.type}`}
      part={useComputed(() => answer.numTokens.value / ask.maxTokens)}
    >
      <p class="figures">
        <Figures answer={answer} />
      </p>
      <p class="words" aria-busy={answer.isOpen}>
        {isPassage && <span class="opening">{ask.turns.at(-1)?.content}</span>}
        <LiveText tap={text} />
        {state.type === 'speaking' && <span class="pen" aria-hidden="true" />}
      </p>
      {state.type === 'failed' && (
        <p class="problem" role="alert">
          {state.message}
        </p>
      )}
    </VoiceHead>
  )
}

/** The figures change without the column being rendered again. */
function Figures({ answer }: { readonly answer: Answer }): JSX.Element {
  const rate = useComputed(() => answer.perSecond.value.toFixed(1))
  const first = useComputed(() => (answer.firstMs.value === null ? '…' : durationText(answer.firstMs.value)))
  const state = answer.state.value
  if (state.type === 'queued' || state.type === 'waiting') return <>{STATE_WORDS[state.type]}</>
  return (
    <>
      <span>
        <b>{rate}</b> tok/s
      </span>
      <span title="From asking to the first text">
        first <b>{first}</b>
      </span>
      <span>
        <b>{answer.numTokens}</b> {endWord(state)}
      </span>
    </>
  )
}

const STATE_WORDS = { queued: 'waits for a free connection', waiting: 'listening …' } as const

function endWord(state: AnswerState): string {
  if (state.type !== 'ended') return 'tokens'
  return { stop: 'tokens, ended', length: 'tokens, cut', stopped: 'tokens, stopped' }[state.how]
}

/** A voice that has not been asked yet. */
export function SilentLane({ voice }: { readonly voice: string }): JSX.Element {
  const { session, shelf } = usePage()
  const adapter = shelf.adapters.value.find(({ id }) => id === voice)
  const isBase = session.baseName.value === voice
  return (
    <VoiceHead voice={voice} class="lane silent">
      <p class="words">
        {isBase
          ? 'The model itself, without an adapter.'
          : adapter
            ? `An adapter of rank ${adapter.rank} on ${adapter.modules} matrices.`
            : 'Two adapters at once.'}
      </p>
    </VoiceHead>
  )
}
