/** Where the reader writes. Enter sends, Shift and Enter begins a line, Escape stops. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { usePage } from '../app/page.ts'

export function Composer(): JSX.Element {
  const { session, talk } = usePage()
  const text = useSignal('')
  const isReady = session.isReady.value
  const isAnswering = talk.isAnswering.value
  const isPassage = session.style.value !== 'dialogue'
  useEffect(() => {
    const stopOnEscape = (event: KeyboardEvent): void => {
      if (event.key === 'Escape') talk.stop()
    }
    document.addEventListener('keydown', stopOnEscape)
    return () => document.removeEventListener('keydown', stopOnEscape)
  }, [talk])
  const send = (): void => {
    if (isAnswering || !isReady || text.value.trim() === '') return
    const said = text.value
    text.value = ''
    void talk.say(said)
  }
  return (
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <textarea
        rows={1}
        aria-label={isPassage ? 'Your next words' : 'Your message'}
        placeholder={isPassage ? 'Your next words …' : 'Say something …'}
        value={text}
        onInput={(event) => {
          text.value = event.currentTarget.value
        }}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
          event.preventDefault()
          send()
        }}
      />
      {isAnswering ? (
        <button type="button" class="main stop" onClick={() => talk.stop()}>
          Stop
        </button>
      ) : (
        <button type="submit" class="main" disabled={!isReady || text.value.trim() === ''}>
          {isPassage ? 'Go on' : 'Send'}
        </button>
      )}
    </form>
  )
}
