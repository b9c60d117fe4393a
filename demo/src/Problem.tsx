/** What keeps the page from working, and what the reader can do about it: give the key, or try again. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { PageProps } from './App.tsx'

export function Problem({ conversation }: PageProps): JSX.Element | null {
  const key = useSignal('')
  const problem = conversation.problem.value
  if (problem === null) return null
  return (
    <form
      class="problem"
      onSubmit={(event) => {
        event.preventDefault()
        void conversation.connect(key.value)
      }}
    >
      <p role="alert">{problem.message}</p>
      {problem.needsKey && (
        <input
          type="password"
          aria-label="API key"
          placeholder="API key"
          autocomplete="current-password"
          value={key.value}
          onInput={(event) => {
            key.value = event.currentTarget.value
          }}
        />
      )}
      <button type="submit">{problem.needsKey ? 'Use this key' : 'Try again'}</button>
    </form>
  )
}
