/**
 * The tasks of a page's main thread, and how much of a core each took. Durations by the clock say little where a CPU stands
 * in for the GPU and takes all cores: then the longest tasks are those that waited for one.
 */
import type { Page } from 'playwright'

export interface MainThreadTask {
  /** By the clock, and of a core. */
  readonly ms: number
  readonly ownMs: number
}

interface TraceEvent {
  readonly name: string
  readonly pid: number
  readonly tid: number
  /** In microseconds. */
  readonly dur?: number
  readonly tdur?: number
  readonly args: { readonly name?: string }
}

/** Writes down all tasks until `end` is called. */
export async function watchMainThread(page: Page): Promise<{ end(): Promise<readonly MainThreadTask[]> }> {
  const session = await page.context().newCDPSession(page)
  const events: TraceEvent[] = []
  session.on('Tracing.dataCollected', ({ value }) => events.push(...(value as unknown as TraceEvent[])))
  await session.send('Tracing.start', { traceConfig: { includedCategories: ['toplevel'] } })
  return {
    async end() {
      const isComplete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve))
      await session.send('Tracing.end')
      await isComplete
      await session.detach()
      const threadOf = ({ pid, tid }: TraceEvent): string => `${pid} ${tid}`
      const isMain = ({ name, args }: TraceEvent): boolean => name === 'thread_name' && args.name === 'CrRendererMain'
      const mains = new Set(events.filter(isMain).map(threadOf))
      const tasks = events.filter((event) => event.name.endsWith('RunTask') && mains.has(threadOf(event)))
      if (tasks.length === 0) throw new Error('The trace has no tasks: the browser calls them otherwise by now.')
      return tasks.map(({ dur = 0, tdur = 0 }) => ({ ms: dur / 1000, ownMs: tdur / 1000 }))
    },
  }
}
