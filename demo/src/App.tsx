/** The page: who answers, the talk, and the line to write on. */
import type { JSX } from 'preact'
import { Composer } from './Composer.tsx'
import type { Conversation } from './conversation.ts'
import icon from './lorikeet.svg'
import { Problem } from './Problem.tsx'
import { Settings } from './Settings.tsx'
import { Talk } from './Talk.tsx'
import { Voices } from './Voices.tsx'

export interface PageProps {
  readonly conversation: Conversation
}

export function App({ conversation }: PageProps): JSX.Element {
  return (
    <div class="page">
      <header>
        <h1>
          <img src={icon} alt="" width="28" height="28" /> lorikeet
        </h1>
        <Voices conversation={conversation} />
        <Settings conversation={conversation} />
      </header>
      <main>
        <Problem conversation={conversation} />
        <Talk conversation={conversation} />
      </main>
      <footer>
        <Composer conversation={conversation} />
      </footer>
    </div>
  )
}
