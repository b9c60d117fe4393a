/** The shelf as it looks: three boards, and on each the adapters that are there, as wide as they are large. */
import type { CSSProperties, JSX } from 'preact'
import { bytesText } from '../app/format.ts'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'
import type { AdapterJson, Tier } from '../engine/types.ts'

const BOARDS: readonly { readonly tier: Tier; readonly title: string }[] = [
  { tier: 'gpu', title: 'on the GPU' },
  { tier: 'host', title: 'in memory' },
  { tier: 'store', title: 'in the store' },
]

export function Spines(): JSX.Element {
  const { shelf } = usePage()
  const adapters = shelf.adapters.value
  return (
    <div class="boards" aria-hidden="true">
      {BOARDS.map(({ tier, title }) => {
        const here = adapters.filter((adapter) => adapter.tier === tier)
        const bytes = here.reduce((sum, adapter) => sum + adapter.bytes, 0)
        return (
          <div key={tier} class="board">
            <div class="spines">
              {here.map((adapter) => (
                <Spine key={adapter.id} adapter={adapter} />
              ))}
            </div>
            <p>
              {title} <small>{here.length === 0 ? 'empty' : `${here.length}, ${bytesText(bytes)}`}</small>
            </p>
          </div>
        )
      })}
    </div>
  )
}

function Spine({ adapter }: { readonly adapter: AdapterJson }): JSX.Element {
  const { plumes } = usePage()
  // By the cube root, so that a hundred times the bytes still fits the board.
  const width = Math.min(84, Math.max(26, Math.cbrt(adapter.bytes) * 0.45))
  const classes = ['spine', 'voice', adapter.pinned ? 'pinned' : '', adapter.leases > 0 ? 'busy' : '', adapter.state]
  return (
    <div
      class={classes.join(' ')}
      style={{ ...voiceStyle(plumes.of(adapter.id)), width: `${width}px` } as CSSProperties}
    >
      <span>{adapter.id}</span>
    </div>
  )
}
