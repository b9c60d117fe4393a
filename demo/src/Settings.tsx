/** Few things that can be set, out of the way until they are wanted. */
import type { JSX } from 'preact'
import type { PageProps } from './App.tsx'

export function Settings({ conversation }: PageProps): JSX.Element {
  const { systemPrompt, temperature, maxTokens, mostTokens, hasChat } = conversation
  const longest = Math.min(maxTokens.value, mostTokens.value)
  return (
    <details class="settings">
      <summary>Settings</summary>
      <div class="panel">
        {hasChat.value && (
          <label>
            System prompt
            <textarea
              rows={2}
              value={systemPrompt.value}
              onInput={(event) => {
                systemPrompt.value = event.currentTarget.value
              }}
            />
          </label>
        )}
        <label>
          <span>
            Temperature <output>{temperature.value.toFixed(1)}</output>
          </span>
          <input
            type="range"
            min="0"
            max="2"
            step="0.1"
            value={temperature.value}
            onInput={(event) => {
              temperature.value = event.currentTarget.valueAsNumber
            }}
          />
        </label>
        <label>
          <span>
            Longest answer <output>{longest} tokens</output>
          </span>
          <input
            type="range"
            min="16"
            max={mostTokens.value}
            step="16"
            value={longest}
            onInput={(event) => {
              maxTokens.value = event.currentTarget.valueAsNumber
            }}
          />
        </label>
        <button type="button" onClick={() => conversation.clear()}>
          Clear the talk
        </button>
      </div>
    </details>
  )
}
