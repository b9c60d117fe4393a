/** What the reader should know: that something is missing, that it will be slow, that something went wrong. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { bytesText } from '../app/format.ts'
import { usePage } from '../app/page.ts'
import type { Phase } from '../app/session.ts'

export function Notices(): JSX.Element | null {
  const { session } = usePage()
  const phase = session.phase.value
  switch (phase.type) {
    case 'looking':
      return null
    case 'loading':
      return <Loading phase={phase} />
    case 'locked':
      return <KeyForm message={phase.message} />
    case 'noWebgpu':
      return (
        <section class="notice-card" role="alert">
          <h2>{phase.advice.problem}</h2>
          <ul>
            {phase.advice.steps.map((step) => (
              <li key={step}>{step}</li>
            ))}
          </ul>
          <p>Or run it on a machine of yours: npx lorikeet serve, and open the page that it serves.</p>
        </section>
      )
    case 'failed':
      return (
        <section class="notice-card problem" role="alert">
          <p>{phase.message}</p>
          <button type="button" class="quiet" onClick={() => session.start()}>
            Try again
          </button>
        </section>
      )
    case 'ready':
      return <Slow />
  }
}

function Loading({ phase }: { readonly phase: Extract<Phase, { type: 'loading' }> }): JSX.Element {
  const { session } = usePage()
  const { progress, model } = phase
  return (
    <section class="notice-card loading">
      <p role="status">{loadingWords(progress.phase, progress.fromCache, model)}</p>
      <progress aria-label="Loading" max={progress.totalBytes} value={progress.loadedBytes} />
      <p>
        {bytesText(progress.loadedBytes)} of {bytesText(progress.totalBytes)}
        {progress.file ? `, ${progress.file}` : ''}
      </p>
      <button type="button" class="plain" onClick={() => session.cancel()}>
        stop
      </button>
    </section>
  )
}

function loadingWords(phase: string, fromCache: boolean, model: string): string {
  if (phase === 'wait') return `Another tab is bringing ${model}; this one waits for it`
  if (phase === 'weights') return `The weights of ${model} go to the GPU`
  if (phase === 'adapters') return 'The adapters are read and checked'
  return fromCache ? `Opening ${model}, which this browser has kept` : `Bringing ${model} into this tab`
}

/** Honest about a CPU that stands in for a GPU. */
function Slow(): JSX.Element | null {
  const { feed, session } = usePage()
  const isGone = useSignal(false)
  const device = feed.device.value
  if (!device?.isSoftware || isGone.value) return null
  const where = session.backend.value?.kind === 'server' ? 'The server has' : 'This browser offers'
  return (
    <section class="notice-card slow">
      <p>{where} no GPU: a CPU stands in for one. Everything works, nothing is fast.</p>
      <button
        type="button"
        class="plain"
        onClick={() => {
          isGone.value = true
        }}
      >
        understood
      </button>
    </section>
  )
}

function KeyForm({ message }: { readonly message: string | null }): JSX.Element {
  const { session } = usePage()
  const key = useSignal('')
  return (
    <form
      class="notice-card"
      onSubmit={(event) => {
        event.preventDefault()
        void session.giveKey(key.value)
      }}
    >
      <p role="alert">{message ?? 'This server wants an API key.'}</p>
      <div class="line">
        <input
          type="password"
          aria-label="API key"
          autocomplete="current-password"
          value={key}
          onInput={(event) => {
            key.value = event.currentTarget.value
          }}
        />
        <button type="submit" class="main" disabled={key.value === ''}>
          Use this key
        </button>
      </div>
    </form>
  )
}
