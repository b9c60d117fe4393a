/**
 * The last steps of the engine as a woven band: each column a step, each cell a row of its batch, coloured by voice. It
 * can be read with the pointer, with the arrow keys, and by ear.
 */
import { useComputed, useSignal, useSignalEffect } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { plumesOf } from '../app/blendNames.ts'
import { usePage } from '../app/page.ts'
import { numColumnsThatFit, PITCH, paintEmpty, paintSteps, type Surface } from './paint.ts'
import { Readout } from './Readout.tsx'
import { type Column, columnOf, stepInWords } from './steps.ts'

export function StepStrip(): JSX.Element {
  const { session, feed, plumes, frames } = usePage()
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSignal({ width: 0, height: 0 })
  /** The number of the step that is looked at. */
  const chosen = useSignal<number | null>(null)

  useEffect(() => {
    const element = canvas.current!
    const observer = new ResizeObserver(() => {
      const { width, height } = element.getBoundingClientRect()
      const ratio = window.devicePixelRatio
      element.width = Math.round(width * ratio)
      element.height = Math.round(height * ratio)
      element.getContext('2d')!.setTransform(ratio, 0, 0, ratio, 0, 0)
      size.value = { width, height }
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [size])

  const shown = useComputed((): readonly Column[] => {
    feed.news.value
    const order = [null, ...session.voices.value.filter(({ parent }) => parent !== null).map(({ id }) => id)]
    const steps = feed.log.all
    const first = Math.max(0, steps.length - numColumnsThatFit(size.value.width))
    return steps.slice(first).map((step, index) => columnOf(step, steps[first + index - 1] ?? null, order))
  })
  const loaded = useComputed((): number | null => {
    const phase = session.phase.value
    if (phase.type !== 'loading') return null
    return Math.min(1, phase.progress.loadedBytes / Math.max(1, phase.progress.totalBytes))
  })
  const step = useComputed(() => {
    const found = shown.value.find((column) => column.step.step === chosen.value)
    return (found ?? shown.value.at(-1))?.step ?? null
  })

  useSignalEffect(() => {
    const { width, height } = size.value
    const columns = shown.value
    const part = loaded.value
    const selected = columns.findIndex((column) => column.step.step === chosen.value)
    if (width === 0) return
    frames.ask(() => {
      const surface: Surface = { context: canvas.current!.getContext('2d')!, width, height }
      if (columns.length === 0) paintEmpty(surface, part)
      else paintSteps(surface, columns, (name) => plumesOf(name, plumes), selected < 0 ? null : selected)
    })
  })

  const move = (by: number): void => {
    const columns = shown.value
    const at = columns.findIndex((column) => column.step.step === step.value?.step)
    chosen.value = columns[Math.min(columns.length - 1, Math.max(0, at + by))]?.step.step ?? null
  }
  const look = (event: PointerEvent): void => {
    const { right } = canvas.current!.getBoundingClientRect()
    const fromEnd = Math.floor((right - event.clientX) / PITCH)
    chosen.value = shown.value.at(-1 - fromEnd)?.step.step ?? null
  }
  const columns = shown.value
  const first = columns[0]?.step.step ?? 0
  const last = columns.at(-1)?.step.step ?? 0
  return (
    <section class="strip" aria-label="Steps">
      <div
        class="weave"
        role="slider"
        tabIndex={0}
        aria-label="The last steps of the engine"
        aria-valuemin={first}
        aria-valuemax={last}
        aria-valuenow={step.value?.step ?? 0}
        aria-valuetext={step.value ? stepInWords(step.value, session.baseName.value) : 'No step has run yet.'}
        onKeyDown={(event) => {
          const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10, Home: -columns.length }[event.key]
          if (event.key === 'Escape' || event.key === 'End') chosen.value = null
          else if (by !== undefined) move(by)
          else return
          event.preventDefault()
        }}
        onPointerMove={look}
        onPointerLeave={() => {
          chosen.value = null
        }}
        onBlur={() => {
          chosen.value = null
        }}
      >
        <canvas ref={canvas} />
      </div>
      <Readout step={step.value} isChosen={chosen.value !== null} />
    </section>
  )
}
