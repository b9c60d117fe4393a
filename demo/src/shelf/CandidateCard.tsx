/** What was found out about an adapter before it is loaded: what it is and costs, or why it cannot be. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import type { Candidate } from './shelf.ts'
import { reportLines } from './words.ts'

export function CandidateCard({ candidate }: { readonly candidate: Candidate }): JSX.Element {
  const { shelf } = usePage()
  const pinned = useSignal(false)
  const card = useRef<HTMLElement>(null)
  const { name, state } = candidate
  useEffect(() => {
    card.current?.scrollIntoView({ block: 'nearest' })
  }, [state.type])
  const report = state.type === 'fits' || state.type === 'adding' ? state.report : null
  return (
    <section ref={card} class={`candidate ${state.type}`} aria-label={`Check of ${name}`}>
      <h2>
        {state.type === 'checking'
          ? `Looking at ${name} …`
          : state.type === 'refused'
            ? `${name} does not fit`
            : `${name} fits`}
      </h2>
      {state.type === 'refused' && (
        <div role="alert">
          <p>{state.message}</p>
          {state.param && (
            <p class="hint">
              At fault: <code>{state.param}</code>
            </p>
          )}
        </div>
      )}
      {report && (
        <ul role="status">
          {reportLines(report).map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      <form
        class="acts"
        onSubmit={(event) => {
          event.preventDefault()
          void shelf.add(pinned.value)
        }}
      >
        {report && (
          <>
            <label>
              Name{' '}
              <input
                type="text"
                value={name}
                spellcheck={false}
                onInput={(event) => shelf.rename(event.currentTarget.value)}
              />
            </label>
            <label class="check">
              <input
                type="checkbox"
                checked={pinned.value}
                onChange={(event) => {
                  pinned.value = event.currentTarget.checked
                }}
              />
              keep it on the GPU
            </label>
            <button type="submit" class="main" disabled={state.type === 'adding' || name === ''}>
              {state.type === 'adding' ? 'Adding …' : 'Add'}
            </button>
          </>
        )}
        <button type="button" class="plain" onClick={() => shelf.dismiss()}>
          {state.type === 'refused' ? 'put it away' : 'leave it'}
        </button>
      </form>
    </section>
  )
}
