/** Chooses who answers next: the base model or one of its adapters. Radio buttons, so the arrow keys work. */
import type { JSX } from 'preact'
import type { PageProps } from './App.tsx'

/** With more than this a list is easier to survey. */
const MOST_BUTTONS = 8

export function Voices({ conversation }: PageProps): JSX.Element | null {
  const voices = conversation.voices.value
  const chosen = conversation.voice.value
  const choose = (id: string) => {
    conversation.voice.value = id
  }
  if (voices.length === 0) return null
  if (voices.length > MOST_BUTTONS) {
    return (
      <label class="voices">
        <span class="label">Voice</span>
        <select value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
          {voices.map(({ id, parent }) => (
            <option key={id} value={id}>
              {parent === null ? `${id} (base)` : id}
            </option>
          ))}
        </select>
      </label>
    )
  }
  return (
    <fieldset class="voices">
      <legend class="label">Voice</legend>
      {voices.map(({ id, parent }) => (
        <label key={id} class="pill">
          <input type="radio" name="voice" value={id} checked={id === chosen} onChange={() => choose(id)} />
          <span>
            {id}
            {parent === null && <small> base</small>}
          </span>
        </label>
      ))}
    </fieldset>
  )
}
