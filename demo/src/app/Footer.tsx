/** What is kept, how it looks, and what this is. */
import type { JSX } from 'preact'
import { bytesText } from './format.ts'
import { usePage } from './page.ts'

const THEMES = { system: 'as the system', light: 'light', dark: 'dark' } as const

export function Footer(): JSX.Element {
  const { session, theme } = usePage()
  const kept = session.kept.value
  return (
    <footer>
      <p>One base model, many LoRA adapters, one batch, on WebGPU. Nothing on this page leaves for anywhere else.</p>
      <p class="acts">
        {kept !== null && (
          <span>
            {kept.bytes === 0 ? 'Nothing is kept in this browser.' : `${bytesText(kept.bytes)} kept in this browser.`}{' '}
            {kept.bytes > 0 && (
              <button type="button" class="plain" onClick={() => session.clearCache()}>
                clear
              </button>
            )}{' '}
            {kept.bytes > 0 && !kept.isPersisted && (
              <button type="button" class="plain" onClick={() => session.keepCache()}>
                keep for good
              </button>
            )}
          </span>
        )}
        <button type="button" class="plain" onClick={() => theme.next()}>
          colours: {THEMES[theme.wish.value]}
        </button>
      </p>
    </footer>
  )
}
