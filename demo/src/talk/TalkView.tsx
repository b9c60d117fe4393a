/** A conversation: voices in the margin, words beside them. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import { CodePanel } from '../code/CodePanel.tsx'
import { Composer } from './Composer.tsx'
import { ExchangeView } from './ExchangeView.tsx'
import { TalkSettings } from './TalkSettings.tsx'
import { VoicePicker } from './VoicePicker.tsx'

/** Nearer to the end than this, the reader wants to see what comes. */
const NEAR_END = 240

export function TalkView(): JSX.Element {
  const { session, talk } = usePage()
  const exchanges = talk.exchanges.value
  const log = useRef<HTMLDivElement>(null)
  const isDialogue = session.style.value === 'dialogue'
  useEffect(() => {
    const page = document.documentElement
    const follow = (): void => {
      if (page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_END) page.scrollTop = page.scrollHeight
    }
    const observer = new ResizeObserver(follow)
    observer.observe(log.current!)
    return () => observer.disconnect()
  }, [])
  const last = exchanges.at(-1)
  return (
    <div class="talk">
      <h1>{isDialogue ? 'Talk to one voice after another.' : 'Write a page with them.'}</h1>
      {exchanges.length === 0 && (
        <p class="lead">
          {isDialogue
            ? 'Choose who answers; change the voice whenever you like. Each answer sees everything that was said before.'
            : 'This model goes on from what stands on the page. Begin a sentence, let a voice continue it, take the pen back, let another go on.'}
        </p>
      )}
      <div ref={log} role="log" aria-label="Conversation" aria-live="off">
        {exchanges.map((exchange) => (
          <ExchangeView key={exchange.id} exchange={exchange} />
        ))}
      </div>
      <p class="unseen" role="status">
        {last && !last.answer.isOpen ? `${last.answer.voice} has ended.` : ''}
      </p>
      {last && <CodePanel asks={[last.answer.ask]} title="The last answer as code" />}
      <div class="foot">
        <VoicePicker />
        <Composer />
        <TalkSettings />
      </div>
    </div>
  )
}
