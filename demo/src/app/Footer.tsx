/** What is kept, how it looks, and what this is. */
import type { JSX } from 'preact'
import { bytesText } from './format.ts'
import { usePage } from './page.ts'

const THEMES = { system: 'as the system', light: 'light', dark: 'dark' } as const

export function Footer(): JSX.Element {
  const { session, theme } = usePage()
  const kept = session.cacheBytes.value
  return (
    <footer>
      <p>One base model, many LoRA adapters, one batch, on WebGPU. Nothing on this page leaves for anywhere else.</p>
      <p class="acts">
        {kept !== null && (
          <span>
            {kept === 0 ? 'Nothing is kept in this browser.' : `${bytesText(kept)} kept in this browser.`}{' '}
            {kept > 0 && (
              <button type="button" class="plain" onClick={() => session.clearCache()}>
                clear
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
