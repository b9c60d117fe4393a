/** Where the engine is and on what, and the way to the other place. */
import type { JSX } from 'preact'
import { usePage } from './page.ts'

export function Whereabouts(): JSX.Element {
  const { session, feed } = usePage()
  const backend = session.backend.value
  const phase = session.phase.value.type
  const other = session.canSwitchTo.value
  const place = backend ? { tab: 'in this tab', server: 'on this server' }[backend.kind] : PHASES[phase]
  return (
    <p class="whereabouts">
      <span class={`lamp ${phase}`} aria-hidden="true" />
      <span class="place">{place}</span>
      {feed.device.value && (
        <span class="device" title={feed.device.value.name}>
          {feed.device.value.name}
        </span>
      )}
      {other && (
        <button type="button" onClick={() => session.switchTo(other)}>
          {other === 'tab' ? 'run in this tab instead' : 'use the server instead'}
        </button>
      )}
    </p>
  )
}

const PHASES = {
  looking: 'looking for an engine',
  loading: 'loading',
  ready: '',
  locked: 'locked',
  noWebgpu: 'no WebGPU here',
  failed: 'no engine',
} as const
