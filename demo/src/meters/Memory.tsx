/** Bytes on the device by what they are for: one bar, and its parts in words. The adapters' part wears their colours. */
import type { JSX } from 'preact'
import { bytesText } from '../app/format.ts'
import { usePage } from '../app/page.ts'
import { cssColor } from '../app/palette.ts'

const PURPOSES: Readonly<Record<string, string>> = {
  weights: 'weights',
  adapters: 'adapters',
  kv: 'keys and values',
  activations: 'activations',
  tables: 'step tables',
  params: 'parameters',
  readback: 'readback',
  profile: 'timers',
}

export function Memory(): JSX.Element {
  const { feed, session, plumes } = usePage()
  const { total, ...parts } = feed.memory.value
  const entries = Object.entries(parts)
    .filter(([, bytes]) => bytes > 0)
    .sort((a, b) => b[1] - a[1])
  const sum = total ?? entries.reduce((bytes, [, each]) => bytes + each, 0)
  if (sum === 0) return <p class="memory empty">Nothing is loaded.</p>
  const stripes = session.voices.value
    .filter(({ parent }) => parent !== null)
    .map(({ id }) => cssColor(plumes.of(id)))
    .flatMap((color, index, all) => [`${color} ${(index * 100) / all.length}% ${((index + 1) * 100) / all.length}%`])
  return (
    <div class="memory">
      <div class="bar" aria-hidden="true">
        {entries.map(([purpose, bytes]) => (
          <i
            key={purpose}
            class={`of-${purpose}`}
            style={{
              flexGrow: bytes / sum,
              ...(purpose === 'adapters' && stripes.length > 0
                ? { backgroundImage: `linear-gradient(to right, ${stripes.join(', ')})` }
                : {}),
            }}
          />
        ))}
      </div>
      <dl>
        {entries.map(([purpose, bytes]) => (
          <div key={purpose}>
            <dt>
              <i class={`of-${purpose}`} />
              {PURPOSES[purpose] ?? purpose}
            </dt>
            <dd>{bytesText(bytes)}</dd>
          </div>
        ))}
        <div class="sum">
          <dt>in all</dt>
          <dd>{bytesText(sum)}</dd>
        </div>
      </dl>
    </div>
  )
}
