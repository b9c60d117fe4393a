/** An answer as Markdown, rendered again at most a few times a second while it grows and once when it has ended. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Answer } from '../app/answer.ts'
import { RenderPace } from './pace.ts'

export function MarkdownText({ answer }: { readonly answer: Answer }): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  const isOpen = answer.isOpen
  useEffect(() => {
    let hasLeft = false
    let end = (): void => {}
    // Parser and sanitizer are a third of the page's code, and only dialogues need them.
    void import('./markdown.ts').then(({ markdownNodes }) => {
      if (hasLeft) return
      const pace = new RenderPace(() => box.current?.replaceChildren(markdownNodes(answer.text.text)))
      pace.now()
      if (!isOpen) return
      const unlisten = answer.text.onChange(() => pace.ask())
      end = () => {
        unlisten()
        pace.stop()
      }
    })
    return () => {
      hasLeft = true
      end()
    }
  }, [answer, isOpen])
  return <div ref={box} class="markdown" />
}
