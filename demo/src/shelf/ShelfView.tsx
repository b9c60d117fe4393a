/** Every adapter, where it stands, and the way to bring more. */
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import { AdapterTable } from './AdapterTable.tsx'
import { AddAdapter } from './AddAdapter.tsx'
import { CandidateCard } from './CandidateCard.tsx'
import { Spines } from './Spines.tsx'

const REFRESH_MS = 1500

export function ShelfView(): JSX.Element {
  const { session, shelf } = usePage()
  const isReady = session.isReady.value
  useEffect(() => {
    if (!isReady) return
    void shelf.refresh()
    const timer = setInterval(() => {
      if (!document.hidden) void shelf.refresh()
    }, REFRESH_MS)
    return () => clearInterval(timer)
  }, [isReady, shelf])
  const notice = shelf.notice.value
  return (
    <div class="shelf">
      <h1>The shelf</h1>
      <p class="lead">
        All adapters share one base. Those in use stand on the GPU; the others wait in memory or in their store, and
        come when they are asked for.
      </p>
      <Spines />
      {shelf.candidate.value && <CandidateCard candidate={shelf.candidate.value} />}
      <p class={notice?.isProblem ? 'problem' : 'notice'} role="status" hidden={notice === null}>
        {notice?.text}
      </p>
      <AdapterTable />
      <AddAdapter />
    </div>
  )
}
