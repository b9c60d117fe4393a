/** The page: the mark, the views, the strip that is there in all of them, and the open view. */
import type { Signal } from '@preact/signals'
import type { JSX } from 'preact'
import { ChorusView } from '../chorus/ChorusView.tsx'
import { Notices } from '../notices/Notices.tsx'
import { DropZone } from '../shelf/DropZone.tsx'
import { ShelfView } from '../shelf/ShelfView.tsx'
import { StepStrip } from '../strip/StepStrip.tsx'
import { TalkView } from '../talk/TalkView.tsx'
import { Footer } from './Footer.tsx'
import { Mark } from './Mark.tsx'
import { type Page, PageContext } from './page.ts'
import { VIEWS, type View } from './route.ts'
import { Whereabouts } from './Whereabouts.tsx'

const SCREENS: Readonly<Record<View, () => JSX.Element>> = { chorus: ChorusView, talk: TalkView, shelf: ShelfView }

export function App({ page, view }: { readonly page: Page; readonly view: Signal<View> }): JSX.Element {
  const Screen = SCREENS[view.value]
  return (
    <PageContext.Provider value={page}>
      <a class="skip" href="#main">
        To the content
      </a>
      <div class="sky">
        <header>
          <a class="brand" href="#/chorus" aria-label="lorikeet">
            <Mark />
            <span>lorikeet</span>
          </a>
          <nav aria-label="Views">
            {VIEWS.map((each) => (
              <a key={each.view} href={`#/${each.view}`} aria-current={each.view === view.value ? 'page' : undefined}>
                {each.title}
              </a>
            ))}
          </nav>
          <Whereabouts />
        </header>
        <StepStrip />
      </div>
      <main id="main" tabIndex={-1}>
        <Notices />
        <Screen />
      </main>
      <Footer />
      <DropZone />
    </PageContext.Provider>
  )
}
