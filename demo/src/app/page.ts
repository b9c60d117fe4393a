/** All that the parts of the page share. */
import { type Context, createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { Chorus } from '../chorus/chorus.ts'
import type { Shelf } from '../shelf/shelf.ts'
import type { Talk } from '../talk/talk.ts'
import type { Frames } from './frames.ts'
import type { Plumes } from './palette.ts'
import type { Session } from './session.ts'
import type { StatsFeed } from './statsFeed.ts'
import type { Theme } from './theme.ts'

export interface Page {
  readonly session: Session
  readonly feed: StatsFeed
  readonly chorus: Chorus
  readonly talk: Talk
  readonly shelf: Shelf
  readonly plumes: Plumes
  readonly frames: Frames
  readonly theme: Theme
}

export const PageContext: Context<Page | null> = createContext<Page | null>(null)

export function usePage(): Page {
  const page = useContext(PageContext)
  if (!page) throw new Error('There is no page around this part.')
  return page
}
