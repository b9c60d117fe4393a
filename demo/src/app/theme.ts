/** Light or dark: as the system has it, unless the reader has said otherwise on this page. */
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'

export type ThemeWish = 'system' | 'light' | 'dark'

const KEY = 'lorikeet.theme'

export class Theme {
  readonly wish: Signal<ThemeWish>
  /** What charts, which are drawn and not styled, must know. */
  readonly isDark: ReadonlySignal<boolean>
  /** As wide as a phone: the style sheet's own limit. */
  readonly isNarrow: ReadonlySignal<boolean>

  constructor(view: Window) {
    const systemIsDark = matches(view, '(prefers-color-scheme: dark)')
    this.isNarrow = matches(view, '(max-width: 44rem)')
    this.wish = signal<ThemeWish>(remembered(view))
    this.isDark = computed(() => (this.wish.value === 'system' ? systemIsDark.value : this.wish.value === 'dark'))
    this.wish.subscribe((wish) => {
      view.document.documentElement.dataset.theme = wish
      try {
        view.localStorage.setItem(KEY, wish)
      } catch {
        // Storage may be forbidden; the wish then lasts as long as the page.
      }
    })
  }

  next(): void {
    const order: readonly ThemeWish[] = ['system', 'light', 'dark']
    this.wish.value = order[(order.indexOf(this.wish.value) + 1) % order.length]!
  }
}

function matches(view: Window, query: string): ReadonlySignal<boolean> {
  const list = view.matchMedia(query)
  const found = signal(list.matches)
  list.addEventListener('change', () => {
    found.value = list.matches
  })
  return found
}

function remembered(view: Window): ThemeWish {
  try {
    const wish = view.localStorage.getItem(KEY)
    return wish === 'light' || wish === 'dark' ? wish : 'system'
  } catch {
    return 'system'
  }
}
