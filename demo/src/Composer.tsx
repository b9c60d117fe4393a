/** Where the reader writes. Enter sends, Shift and Enter begins a line, Escape stops the answer. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { PageProps } from './App.tsx'

export function Composer({ conversation }: PageProps): JSX.Element {
  const text = useSignal('')
  const field = useRef<HTMLTextAreaElement>(null)
  const isAnswering = conversation.isAnswering.value
  const isReady = conversation.isReady.value
  useEffect(() => {
    if (isReady) field.current?.focus()
  }, [isReady])
  useEffect(() => {
    const stopOnEscape = (event: KeyboardEvent) => {
      if (event.key === 'Escape') conversation.stop()
    }
    document.addEventListener('keydown', stopOnEscape)
    return () => document.removeEventListener('keydown', stopOnEscape)
  }, [conversation])
  const send = () => {
    if (isAnswering || !isReady) return
    const said = text.value
    text.value = ''
    void conversation.say(said)
  }
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <textarea
        ref={field}
        aria-label="Message"
        placeholder={isReady ? 'Say something' : 'Waiting for the server'}
        rows={1}
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value
        }}
        onKeyDown={(event) => {
          // An input method's Enter chooses a word, it does not send.
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
          event.preventDefault()
          send()
        }}
      />
      {isAnswering ? (
        <button type="button" class="stop" onClick={() => conversation.stop()}>
          Stop
        </button>
      ) : (
        <button type="submit" disabled={!isReady || text.value.trim() === ''}>
          Send
        </button>
      )}
    </form>
  )
}
