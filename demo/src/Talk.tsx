/** The talk so far. Follows the newest text unless the reader has scrolled away from it. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { PageProps } from './App.tsx'
import type { Line } from './conversation.ts'

const SUGGESTIONS = ['Hello! Who are you?', 'Tell me a short story about a bird.', 'What is a rainbow?']

export function Talk({ conversation }: PageProps): JSX.Element {
  const lines = conversation.lines.value
  const end = useRef<HTMLDivElement>(null)
  const length = lines.at(-1)?.text.value.length ?? 0
  useEffect(() => {
    const nearEnd = document.documentElement.scrollHeight - window.scrollY - window.innerHeight < 160
    if (nearEnd) end.current?.scrollIntoView({ block: 'end' })
  }, [lines.length, length])
  if (lines.length === 0) {
    return (
      <div class="empty">
        <p>One model, many voices. Choose who answers, then say something.</p>
        {conversation.hasChat.value || <p>This model has no chat template: it continues your text.</p>}
        <div class="suggestions">
          {SUGGESTIONS.map((text) => (
            <button
              type="button"
              key={text}
              disabled={!conversation.isReady.value}
              onClick={() => conversation.say(text)}
            >
              {text}
            </button>
          ))}
        </div>
      </div>
    )
  }
  return (
    <div class="talk" role="log" aria-label="Conversation" aria-busy={conversation.isAnswering.value}>
      {lines.map((line) => (
        <LineView key={line.id} line={line} />
      ))}
      <div ref={end} />
    </div>
  )
}

function LineView({ line }: { readonly line: Line }): JSX.Element {
  const state = line.state.value
  const isComing = state.type === 'coming'
  return (
    <article class={`line ${line.role}`}>
      {line.role === 'assistant' && <div class="who">{line.voice}</div>}
      <div class={isComing ? 'text coming' : 'text'}>{line.text.value}</div>
      {state.type === 'failed' && (
        <div class="error" role="alert">
          {state.message}
        </div>
      )}
      {state.type === 'whole' && state.note !== '' && <div class="note">{state.note}</div>}
    </article>
  )
}
