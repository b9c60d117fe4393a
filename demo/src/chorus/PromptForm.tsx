/** Where the prompt is written. Enter asks, Shift and Enter begins a line, Escape stops. */
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import { OPENINGS } from './openings.ts'

export function PromptForm(): JSX.Element {
  const { session, chorus } = usePage()
  const isReady = session.isReady.value
  const isRunning = chorus.isRunning.value
  const openings = OPENINGS[session.style.value]
  useEffect(() => {
    const stopOnEscape = (event: KeyboardEvent): void => {
      if (event.key === 'Escape') chorus.stop()
    }
    document.addEventListener('keydown', stopOnEscape)
    return () => document.removeEventListener('keydown', stopOnEscape)
  }, [chorus])
  useEffect(() => {
    if (isReady && chorus.prompt.value === '') chorus.prompt.value = openings[0]!
  }, [isReady, openings, chorus])
  const sing = (): void => {
    void chorus.sing()
  }
  const isPassage = session.style.value !== 'dialogue'
  const label = !isReady ? 'The prompt' : isPassage ? 'An opening for all voices to go on from' : 'Ask all voices'
  return (
    <form
      class="prompt"
      onSubmit={(event) => {
        event.preventDefault()
        sing()
      }}
    >
      <label for="prompt">{label}</label>
      <div class="line">
        <textarea
          id="prompt"
          rows={1}
          value={chorus.prompt}
          onInput={(event) => {
            chorus.prompt.value = event.currentTarget.value
          }}
          onKeyDown={(event) => {
            // An input method's Enter chooses a word, it does not send.
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
            event.preventDefault()
            sing()
          }}
        />
        {isRunning ? (
          <button type="button" class="main stop" onClick={() => chorus.stop()}>
            Stop
          </button>
        ) : (
          <button type="submit" class="main" disabled={!isReady || chorus.prompt.value.trim() === ''}>
            Sing
          </button>
        )}
      </div>
      <p class="openings">
        <span>{isReady ? 'or' : ' '}</span>
        {(isReady ? openings : []).map((text) => (
          <button
            type="button"
            key={text}
            disabled={!isReady || isRunning}
            onClick={() => {
              chorus.prompt.value = text
              sing()
            }}
          >
            {text}
          </button>
        ))}
      </p>
    </form>
  )
}
