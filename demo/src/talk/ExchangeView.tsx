/**
 * What was said and what came back, with what can be done about either. In a dialogue they are two turns. Where the model
 * goes on from what stands, they are one passage: the reader's words, and behind them the voice's.
 */
import { useComputed, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { durationText } from '../app/format.ts'
import { LiveText } from '../app/LiveText.tsx'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'
import { MarkdownText } from './MarkdownText.tsx'
import type { Exchange } from './talk.ts'

export function ExchangeView({ exchange }: { readonly exchange: Exchange }): JSX.Element {
  const { session, talk, plumes } = usePage()
  const draft = useSignal<string | null>(null)
  const { id, said, answer } = exchange
  const isBase = answer.voice === session.baseName.value
  const isPassage = session.style.value !== 'dialogue'
  const isFree = !talk.isAnswering.value
  const isEditing = draft.value !== null
  const edit = (
    <button
      type="button"
      class="plain"
      onClick={() => {
        draft.value = said
      }}
    >
      edit{isPassage ? ' your words' : ''}
    </button>
  )
  return (
    <article class="exchange">
      {(isEditing || !isPassage) && (
        <div class="turn you">
          <div class="who">you</div>
          <div class="what">
            {isEditing ? <Draft id={id} draft={draft} /> : <p>{said}</p>}
            {!isEditing && isFree && edit}
          </div>
        </div>
      )}
      {!isEditing && (
        <div class="turn voice" style={voiceStyle(plumes.of(isBase ? null : answer.voice))}>
          <div class="who">{answer.voice}</div>
          <div class={`what ${answer.state.value.type}`} aria-busy={answer.isOpen}>
            {isPassage ? (
              <p class="passage">
                <span class="unseen">You wrote: </span>
                <span class="opening">{said}</span>
                <LiveText tap={answer.text} />
                {answer.isOpen && <span class="pen" />}
              </p>
            ) : (
              <MarkdownText answer={answer} />
            )}
            <After exchange={exchange}>{isPassage && isFree && edit}</After>
          </div>
        </div>
      )}
    </article>
  )
}

const ENDINGS = { stop: '', length: ', cut at the limit', stopped: ', stopped' } as const

/** What became of the answer, and what can be done about it. */
function After({
  exchange: { id, answer },
  children,
}: {
  readonly exchange: Exchange
  readonly children: JSX.Element | false
}): JSX.Element {
  const { talk } = usePage()
  const state = answer.state.value
  const rate = useComputed(() => answer.perSecond.value.toFixed(1))
  const first = useComputed(() => (answer.firstMs.value === null ? '…' : durationText(answer.firstMs.value)))
  return (
    <>
      {state.type === 'failed' && (
        <p class="problem" role="alert">
          {state.message}
        </p>
      )}
      <div class="after">
        <span class="figures">
          {state.type === 'waiting' ? (
            'listening …'
          ) : (
            <>
              {answer.numTokens} tokens, {rate} tok/s, first {first}
              {state.type === 'ended' && ENDINGS[state.how]}
            </>
          )}
        </span>
        {!talk.isAnswering.value && (
          <button type="button" class="plain" onClick={() => talk.again(id)}>
            again as {talk.voice}
          </button>
        )}
        {children}
      </div>
    </>
  )
}

interface DraftProps {
  readonly id: number
  readonly draft: ReturnType<typeof useSignal<string | null>>
}

/** The reader's words, to be changed and said again. */
function Draft({ id, draft }: DraftProps): JSX.Element {
  const { talk } = usePage()
  const field = useRef<HTMLTextAreaElement>(null)
  useEffect(() => field.current?.focus(), [])
  return (
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault()
        void talk.again(id, draft.value ?? '')
      }}
    >
      <textarea
        ref={field}
        rows={1}
        aria-label="Your words"
        value={draft.value ?? ''}
        onInput={(event) => {
          draft.value = event.currentTarget.value
        }}
        onKeyDown={(event) => {
          if (event.key === 'Escape') draft.value = null
        }}
      />
      <button type="submit" class="main">
        Say it so
      </button>
      <button
        type="button"
        class="plain"
        onClick={() => {
          draft.value = null
        }}
      >
        leave it
      </button>
    </form>
  )
}
