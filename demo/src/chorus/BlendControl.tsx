/** Two adapters in one voice: a slider from one to the other, answered beside the pure ones. */
import type { JSX } from 'preact'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'
import type { Shelf } from '../shelf/shelf.ts'
import { hasSum } from '../shelf/words.ts'
import type { Blend } from './chorus.ts'

/** What adds up: adapters that are all sum. */
function blendable(shelf: Shelf): readonly string[] {
  return shelf.adapters.value.filter(({ kinds, state }) => state === 'loaded' && hasSum(kinds)).map(({ id }) => id)
}

export function BlendButton(): JSX.Element | null {
  const { chorus, shelf } = usePage()
  const [first, second] = blendable(shelf)
  if (first === undefined || second === undefined || chorus.blend.value) return null
  return (
    <button
      type="button"
      class="plain"
      onClick={() => {
        chorus.blend.value = { first, second, balance: 0.5 }
      }}
    >
      + blend two voices
    </button>
  )
}

export function BlendControl(): JSX.Element | null {
  const { chorus, shelf, plumes } = usePage()
  const names = blendable(shelf)
  const blend = chorus.blend.value
  if (!blend) return null
  const set = (change: Partial<Blend>): void => {
    chorus.blend.value = { ...blend, ...change }
  }
  const choice = (which: 'first' | 'second', label: string): JSX.Element => (
    <select
      aria-label={label}
      class="voice"
      style={voiceStyle(plumes.of(blend[which]))}
      value={blend[which]}
      onChange={(event) => set({ [which]: event.currentTarget.value })}
    >
      {names
        .filter((name) => name !== blend[which === 'first' ? 'second' : 'first'])
        .map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
    </select>
  )
  const percent = Math.round(blend.balance * 100)
  return (
    <fieldset class="blend">
      <legend class="unseen">Blend of two voices</legend>
      {choice('first', 'First voice of the blend')}
      <input
        type="range"
        min={0}
        max={100}
        step={5}
        value={percent}
        aria-label="Balance"
        aria-valuetext={`${100 - percent} % ${blend.first}, ${percent} % ${blend.second}`}
        onInput={(event) => set({ balance: event.currentTarget.valueAsNumber / 100 })}
      />
      {choice('second', 'Second voice of the blend')}
      <output>
        {100 - percent} : {percent}
      </output>
      <button
        type="button"
        class="plain"
        onClick={() => {
          chorus.blend.value = null
        }}
      >
        no blend
      </button>
    </fieldset>
  )
}
