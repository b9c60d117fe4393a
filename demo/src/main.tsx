/** Puts the page together and starts it. */
import { render } from 'preact'
import { App } from './app/App.tsx'
import { Frames } from './app/frames.ts'
import type { Page } from './app/page.ts'
import { Plumes } from './app/palette.ts'
import { openView } from './app/route.ts'
import { Session } from './app/session.ts'
import { StatsFeed } from './app/statsFeed.ts'
import { Theme } from './app/theme.ts'
import { browserFacts, webgpuAdvice } from './app/webgpu.ts'
import { Chorus } from './chorus/chorus.ts'
import { openTab } from './engine/openTab.ts'
import { keepOffline } from './offline/keepOffline.ts'
import { Shelf } from './shelf/shelf.ts'
import { Talk } from './talk/talk.ts'

const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
const feed = new StatsFeed()
const session = new Session(
  {
    server: {
      base: new URL('.', document.baseURI).href,
      fetch: (input, init) => fetch(input, init),
      protocol: navigation?.nextHopProtocol ?? '',
    },
    openTab,
    advice: async () => webgpuAdvice(await browserFacts(navigator, isSecureContext)),
  },
  feed,
)
const stage = {
  api: () => session.api,
  voices: session.voices,
  style: session.style,
  contextLength: session.contextLength,
  maxStreams: () => session.backend.value?.maxStreams ?? 1,
  onAsk: () => feed.wake(),
}
const page: Page = {
  session,
  feed,
  chorus: new Chorus(stage),
  talk: new Talk(stage),
  shelf: new Shelf(session),
  plumes: new Plumes(),
  frames: new Frames(),
  theme: new Theme(window),
}
session.voices.subscribe((voices) => {
  const adapters = voices.filter(({ parent }) => parent !== null).map(({ id }) => id)
  // While one engine gives way to another there are no voices: they keep their colours over it.
  if (voices.length > 0) page.plumes.keep(adapters)
  void page.shelf.refresh()
})
render(<App page={page} view={openView(window)} />, document.getElementById('app')!)
void session.start()
keepOffline()
