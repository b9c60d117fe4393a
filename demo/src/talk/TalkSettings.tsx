/** Few things that can be set, out of the way until they are wanted. */
import type { JSX } from 'preact'
import { usePage } from '../app/page.ts'

export function TalkSettings(): JSX.Element {
  const { session, talk } = usePage()
  const longest = Math.floor(session.contextLength.value / 2)
  return (
    <details class="more">
      <summary>Settings</summary>
      <div class="panel">
        {session.style.value === 'dialogue' && (
          <label>
            System prompt
            <textarea
              rows={2}
              value={talk.systemPrompt}
              onInput={(event) => {
                talk.systemPrompt.value = event.currentTarget.value
              }}
            />
          </label>
        )}
        <label>
          Temperature <output>{talk.temperature.value.toFixed(1)}</output>
          <input
            type="range"
            min={0}
            max={2}
            step={0.1}
            value={talk.temperature}
            onInput={(event) => {
              talk.temperature.value = event.currentTarget.valueAsNumber
            }}
          />
        </label>
        <label>
          Longest answer <output>{Math.min(longest, talk.maxTokens.value)} tokens</output>
          <input
            type="range"
            min={8}
            max={longest}
            step={8}
            value={talk.maxTokens}
            onInput={(event) => {
              talk.maxTokens.value = event.currentTarget.valueAsNumber
            }}
          />
        </label>
        <button type="button" class="plain" onClick={() => talk.clear()}>
          begin a new page
        </button>
      </div>
    </details>
  )
}
