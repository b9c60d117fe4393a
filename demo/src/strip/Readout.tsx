/** Says of one step what its column shows: how many rows, whose, and how long it took. */
import type { JSX } from 'preact'
import { blendOf } from '../app/blendNames.ts'
import { bytesText, counted, durationText } from '../app/format.ts'
import { usePage } from '../app/page.ts'
import type { Step } from '../engine/types.ts'
import { numRows } from './steps.ts'

export interface ReadoutProps {
  /** The one that is looked at, else the newest. */
  readonly step: Step | null
  readonly isChosen: boolean
}

export function Readout({ step, isChosen }: ReadoutProps): JSX.Element {
  const { session, feed } = usePage()
  const phase = session.phase.value
  if (phase.type === 'loading') {
    const { progress } = phase
    return (
      <p class="readout">
        <strong>{bytesText(progress.loadedBytes)}</strong>
        <span>
          of {bytesText(progress.totalBytes)}
          {progress.fromCache ? ', from this browser' : ''}
        </span>
        <span>{progress.file?.split('/').at(-1) ?? phase.model}</span>
      </p>
    )
  }
  if (!step) {
    return (
      <p class="readout empty">
        {feed.isTold.value
          ? 'Every column will be one step of the engine, every cell one voice’s next token.'
          : 'This server does not tell what its steps hold.'}
      </p>
    )
  }
  const adapters = step.rows.filter(({ adapter }) => adapter !== null).length
  const hasBase = step.rows.some(({ adapter }) => adapter === null)
  const whose = [...(adapters > 0 ? [counted(adapters, 'adapter')] : []), ...(hasBase ? ['the base'] : [])].join(' + ')
  return (
    <p class="readout">
      <strong>{counted(numRows(step), 'row')}</strong>
      <span>
        {isChosen ? step.rows.map(({ adapter }) => blendOf(adapter) ?? session.baseName.value).join(', ') : whose}
      </span>
      <span>
        step {step.step.toLocaleString('en')}, {durationText(step.ms)}
      </span>
    </p>
  )
}
