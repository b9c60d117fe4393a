/** Ways to bring an adapter: drop or choose files, an address, or a path on the server. */
import { useSignal } from '@preact/signals'
import type { JSX, TargetedEvent } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import type { AdapterSource } from '../engine/types.ts'
import { filesOfInput } from './dropped.ts'

export function AddAdapter(): JSX.Element {
  const { session } = usePage()
  const sources = session.backend.value?.sources ?? []
  return (
    <section class="add" aria-labelledby="add">
      <h2 id="add">Add a voice</h2>
      {sources.includes('files') && <Files />}
      {sources.includes('url') && (
        <Address type="url" label="or its address" example="https://example.org/adapters/pirate/" />
      )}
      {sources.includes('path') && (
        <Address type="path" label="A folder on the server’s disk" example="./adapters/pirate" />
      )}
      {session.backend.value?.kind === 'server' && session.canSwitchTo.value === 'tab' && (
        <p class="hint">
          To try an adapter from this machine without a server,{' '}
          <button type="button" class="link" onClick={() => session.switchTo('tab')}>
            run the model in this tab
          </button>
          .
        </p>
      )}
    </section>
  )
}

function Files(): JSX.Element {
  const { shelf } = usePage()
  const folder = useRef<HTMLInputElement>(null)
  useEffect(() => {
    // Not an attribute that JSX knows.
    folder.current?.setAttribute('webkitdirectory', '')
  }, [])
  const take = (event: TargetedEvent<HTMLInputElement>): void => {
    const chosen = filesOfInput(event.currentTarget.files ?? [])
    event.currentTarget.value = ''
    if (chosen) void shelf.consider({ type: 'files', ...chosen })
  }
  return (
    <p class="files">
      Drop a PEFT folder or its files anywhere on this page, or
      <label class="pick">
        <input ref={folder} type="file" multiple onChange={take} />
        <span>choose a folder</span>
      </label>
      <label class="pick">
        <input type="file" multiple accept=".json,.safetensors,.bin,.pt,.nemo,.model,.jinja" onChange={take} />
        <span>choose files</span>
      </label>
    </p>
  )
}

interface AddressProps {
  readonly type: 'url' | 'path'
  readonly label: string
  readonly example: string
}

function Address({ type, label, example }: AddressProps): JSX.Element {
  const { shelf } = usePage()
  const text = useSignal('')
  const source = (): AdapterSource =>
    type === 'url' ? { type, url: text.value.trim() } : { type, path: text.value.trim() }
  return (
    <form
      class="address"
      onSubmit={(event) => {
        event.preventDefault()
        if (text.value.trim() !== '') void shelf.consider(source())
      }}
    >
      <label>
        {label}
        <input
          type="text"
          inputMode={type === 'url' ? 'url' : 'text'}
          placeholder={example}
          spellcheck={false}
          autocomplete="off"
          value={text}
          onInput={(event) => {
            text.value = event.currentTarget.value
          }}
        />
      </label>
      <button type="submit" class="quiet" disabled={text.value.trim() === ''}>
        Check
      </button>
    </form>
  )
}
