/** Who answers next. Radio buttons, so that the arrow keys work. */
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'

export function VoicePicker(): JSX.Element {
  const { session, talk, plumes } = usePage()
  const voices = session.voices.value
  const chosen = talk.voice.value
  useEffect(() => {
    // An adapter is the better first answer; and who has left cannot answer.
    if (voices.length > 0 && !voices.some(({ id }) => id === chosen)) {
      talk.voice.value = (voices.find(({ parent }) => parent !== null) ?? voices[0]!).id
    }
  }, [voices, chosen, talk])
  return (
    <fieldset class="cast">
      <legend class="unseen">Who answers</legend>
      {voices.map(({ id, parent }) => (
        <label key={id} class="chip voice" style={voiceStyle(plumes.of(parent === null ? null : id))}>
          <input
            type="radio"
            name="voice"
            checked={id === chosen}
            onChange={() => {
              talk.voice.value = id
            }}
          />
          <span>{id}</span>
        </label>
      ))}
    </fieldset>
  )
}
