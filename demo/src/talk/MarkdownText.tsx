/** An answer as Markdown, rendered again at most a few times a second while it grows and once when it has ended. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Answer } from '../app/answer.ts'
import { markdownNodes } from './markdown.ts'
import { RenderPace } from './pace.ts'

export function MarkdownText({ answer }: { readonly answer: Answer }): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  const isOpen = answer.isOpen
  useEffect(() => {
    const pace = new RenderPace(() => box.current?.replaceChildren(markdownNodes(answer.text.text)))
    pace.now()
    if (!isOpen) return
    const end = answer.text.onChange(() => pace.ask())
    return () => {
      end()
      pace.stop()
    }
  }, [answer, isOpen])
  return <div ref={box} class="markdown" />
}
