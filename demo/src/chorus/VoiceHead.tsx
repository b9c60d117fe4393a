/** A section in a voice's colour, under a bar that fills as its answer grows. */
import type { ReadonlySignal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'

export interface VoiceHeadProps {
  readonly voice: string
  readonly class: string
  /** Of the longest answer allowed. */
  readonly part?: ReadonlySignal<number>
  readonly children: ComponentChildren
}

export function VoiceHead({ voice, part, children, ...rest }: VoiceHeadProps): JSX.Element {
  const { session, plumes, shelf } = usePage()
  const isBase = voice === session.baseName.value
  const parts = isBase ? [null] : voice.split(' × ')
  const adapter = shelf.adapters.value.find(({ id }) => id === voice)
  return (
    <article class={`voice ${rest.class}`} style={voiceStyle(plumes.of(parts[0]!))} aria-label={voice}>
      <div class="plume" aria-hidden="true">
        {parts.map((name) => (
          <i key={name} style={voiceStyle(plumes.of(name))} />
        ))}
        <PlumeFill part={part} />
      </div>
      <h2>
        {voice}
        <small>{isBase ? 'base' : adapter ? `rank ${adapter.rank}` : parts.length > 1 ? 'blend' : ''}</small>
      </h2>
      {children}
    </article>
  )
}

function PlumeFill({ part }: { readonly part: ReadonlySignal<number> | undefined }): JSX.Element {
  const filled = Math.min(1, part?.value ?? 0)
  return <b class="cover" style={{ transform: `scaleX(${1 - filled})` }} />
}
