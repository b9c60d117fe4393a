/** The snippets, closed until somebody wants them. */
import { useComputed, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useRef } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import type { Ask } from '../engine/request.ts'
import { SNIPPET_TITLES, type SnippetKind, snippet } from './snippets.ts'

const KINDS = Object.keys(SNIPPET_TITLES) as readonly SnippetKind[]

export interface CodePanelProps {
  readonly asks: readonly Ask[]
  readonly title: string
}

export function CodePanel({ asks, title }: CodePanelProps): JSX.Element {
  const { session, shelf } = usePage()
  const kind = useSignal<SnippetKind>('curl')
  const outcome = useSignal('')
  const isOpen = useSignal(false)
  const shown = useRef<HTMLPreElement>(null)
  const adapters = useComputed(() => shelf.adapters.value.map(({ id, root }) => ({ name: id, root })))
  const backend = session.backend.value
  const text = isOpen.value
    ? snippet(kind.value, {
        asks,
        address: backend?.address ?? null,
        model: backend?.model ?? null,
        adapters: adapters.value,
        needsKey: session.needsKey,
      })
    : ''
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      outcome.value = 'Copied'
    } catch {
      // Without permission the reader's own keys still can.
      getSelection()?.selectAllChildren(shown.current!)
      outcome.value = 'Selected: copy it with your keyboard'
    }
  }
  return (
    <details
      class="code"
      onToggle={(event) => {
        isOpen.value = event.currentTarget.open
      }}
    >
      <summary>{title}</summary>
      <div class="tabs" role="radiogroup" aria-label="Where it should run">
        {KINDS.map((each) => (
          <label key={each}>
            <input
              type="radio"
              name={`code ${title}`}
              checked={kind.value === each}
              onChange={() => {
                kind.value = each
                outcome.value = ''
              }}
            />
            <span>{SNIPPET_TITLES[each]}</span>
          </label>
        ))}
        <button type="button" class="plain" onClick={copy}>
          Copy
        </button>
        <span role="status">{outcome}</span>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
      <pre ref={shown} tabIndex={0}>
        <code>{text}</code>
      </pre>
    </details>
  )
}
