/** Who takes part, and how they draw their words. */
import type { Signal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'
import { BlendButton } from './BlendControl.tsx'

export function RunSettings(): JSX.Element {
  const { session, chorus, plumes } = usePage()
  const { backend, voices, contextLength } = session
  const most = backend.value?.maxStreams ?? Number.POSITIVE_INFINITY
  const count = chorus.singers.value.length + (chorus.blend.value ? 1 : 0)
  return (
    <div class="settings">
      <div class="choice">
        <fieldset class="cast">
          <legend class="unseen">Voices that take part</legend>
          {voices.value.map(({ id, parent }) => (
            <label key={id} class="chip voice" style={voiceStyle(plumes.of(parent === null ? null : id))}>
              <input type="checkbox" checked={chorus.sings(id)} onChange={() => chorus.toggle(id)} />
              <span>{id}</span>
            </label>
          ))}
        </fieldset>
        {session.takesBlends.value && <BlendButton />}
      </div>
      <Dials>
        <Dial label="temperature" value={chorus.temperature} min={0} max={2} step={0.1} />
        <Dial label="tokens" value={chorus.maxTokens} min={1} max={Math.floor(contextLength.value / 2)} step={1} />
        <Dial label="seed" value={chorus.seed} min={0} max={2 ** 31 - 1} step={1} onSet={() => fix(chorus.drawsSeed)} />
        <label class="check">
          <input
            type="checkbox"
            checked={chorus.drawsSeed.value}
            onChange={(event) => {
              chorus.drawsSeed.value = event.currentTarget.checked
            }}
          />
          new each time
        </label>
      </Dials>
      {count > most && (
        <p class="hint">
          Over HTTP/1.1 a browser opens six connections to a server, so {most} voices speak at a time and the others
          follow. In a tab, or over HTTP/2, all speak at once.
        </p>
      )}
    </div>
  )
}

/** In one line where there is room, and folded away on a phone. */
function Dials({ children }: { readonly children: ComponentChildren }): JSX.Element {
  const { chorus, theme } = usePage()
  if (!theme.isNarrow.value) return <div class="dials">{children}</div>
  return (
    <details class="more">
      <summary>
        temperature {chorus.temperature}, {chorus.maxTokens} tokens
      </summary>
      <div class="dials">{children}</div>
    </details>
  )
}

/** A seed that was typed is meant to be used. */
function fix(drawsSeed: Signal<boolean>): void {
  drawsSeed.value = false
}

interface DialProps {
  readonly label: string
  readonly value: Signal<number>
  readonly min: number
  readonly max: number
  readonly step: number
  readonly onSet?: () => void
}

function Dial({ label, value, min, max, step, onSet }: DialProps): JSX.Element {
  return (
    <label class="dial">
      {label}
      <input
        type="number"
        class={max > 1e6 ? 'long' : undefined}
        inputMode={step < 1 ? 'decimal' : 'numeric'}
        min={min}
        max={max}
        step={step}
        value={value}
        onChange={(event) => {
          const wanted = event.currentTarget.valueAsNumber
          if (Number.isFinite(wanted)) value.value = Math.min(max, Math.max(min, wanted))
          event.currentTarget.value = String(value.value)
          onSet?.()
        }}
      />
    </label>
  )
}
