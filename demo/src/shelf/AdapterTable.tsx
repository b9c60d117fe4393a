/** The same in figures, with what can be done. */
import type { JSX } from 'preact'
import { bytesText } from '../app/format.ts'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'
import type { AdapterJson } from '../engine/types.ts'
import { kindWords } from './words.ts'

const TIERS = { gpu: 'GPU', host: 'memory', store: 'store' } as const

export function AdapterTable(): JSX.Element {
  const { shelf, session } = usePage()
  const adapters = shelf.adapters.value
  if (adapters.length === 0) {
    return <p class="lead">{session.isReady.value ? 'No adapter is here yet.' : ''}</p>
  }
  return (
    <table class="adapters">
      <caption class="unseen">Adapters</caption>
      <thead>
        <tr>
          <th scope="col">Voice</th>
          <th scope="col">Where</th>
          <th scope="col">Kind</th>
          <th scope="col" class="number">
            Rank
          </th>
          <th scope="col" class="number">
            Size
          </th>
          <th scope="col" class="number">
            Requests
          </th>
          <th scope="col">
            <span class="unseen">Acts</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {adapters.map((adapter) => (
          <Row key={`${adapter.id} ${adapter.digest} ${adapter.state}`} adapter={adapter} />
        ))}
      </tbody>
    </table>
  )
}

function Row({ adapter }: { readonly adapter: AdapterJson }): JSX.Element {
  const { shelf, plumes } = usePage()
  const { id, root, tier, pinned, rank, kinds, bytes, requests, leases, evictions, state } = adapter
  const isBusy = shelf.busy.value.has(id)
  const canPin = state === 'loaded'
  const use = leases > 0 ? `, ${leases} now` : ''
  return (
    <tr>
      <th scope="row" class="voice" style={voiceStyle(plumes.of(id))} title={root}>
        {id}
      </th>
      <td data-label="Where">
        {TIERS[tier]}
        {pinned && ', pinned'}
        {state === 'leaving' && ', leaving'}
      </td>
      <td data-label="Kind">{kindWords(kinds)}</td>
      <td data-label="Rank" class="number">
        {rank}
      </td>
      <td data-label="Size" class="number">
        {bytesText(bytes)}
      </td>
      <td data-label="Requests" class="number" title={`${evictions} times off the GPU`}>
        {requests}
        {use}
      </td>
      <td class="acts">
        {canPin && (
          <button
            type="button"
            class="plain"
            aria-pressed={pinned}
            aria-label={pinned ? `Unpin ${id}` : `Pin ${id}`}
            disabled={isBusy}
            onClick={() => shelf.pin(id, root, !pinned)}
          >
            {pinned ? 'unpin' : 'pin'}
          </button>
        )}
        {state === 'loaded' && (
          <button
            type="button"
            class="plain"
            aria-label={`Unload ${id}`}
            disabled={isBusy}
            onClick={() => shelf.unload(id)}
          >
            unload
          </button>
        )}
      </td>
    </tr>
  )
}
