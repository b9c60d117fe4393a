/** Text as it comes: what is new goes behind what stands, in the next frame. The newest piece has the voice's colour. */
import type { JSX } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { usePage } from './page.ts'
import type { TextTap } from './textTap.ts'

export function LiveText({ tap }: { readonly tap: TextTap }): JSX.Element {
  const { frames } = usePage()
  const settled = useRef<HTMLSpanElement>(null)
  const fresh = useRef<HTMLSpanElement>(null)
  useLayoutEffect(() => {
    const standing = document.createTextNode(tap.text)
    let shown = tap.text.length
    settled.current!.replaceChildren(standing)
    fresh.current!.textContent = ''
    const paint = (): void => {
      if (tap.text.length === shown) return
      standing.appendData(fresh.current?.textContent ?? '')
      if (fresh.current) fresh.current.textContent = tap.text.slice(shown)
      shown = tap.text.length
    }
    return tap.onChange(() => frames.ask(paint))
  }, [tap, frames])
  return (
    <>
      <span ref={settled} />
      <span ref={fresh} class="fresh" />
    </>
  )
}
