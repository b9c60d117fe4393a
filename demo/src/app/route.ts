/** Which view is open: the part of the address behind `#`, so that views can be linked and the back button works. */
import { type Signal, signal } from '@preact/signals'

export type View = 'chorus' | 'talk' | 'shelf'

export const VIEWS: readonly { readonly view: View; readonly title: string }[] = [
  { view: 'chorus', title: 'Chorus' },
  { view: 'talk', title: 'Talk' },
  { view: 'shelf', title: 'Shelf' },
]

export function viewOf(hash: string): View {
  const name = hash.replace(/^#\/?/, '')
  return VIEWS.find(({ view }) => view === name)?.view ?? 'chorus'
}

/** Follows the address. */
export function openView(page: Window): Signal<View> {
  const view = signal(viewOf(page.location.hash))
  page.addEventListener('hashchange', () => {
    const next = viewOf(page.location.hash)
    if (next === view.value) return
    view.value = next
    page.scrollTo(0, 0)
  })
  return view
}
