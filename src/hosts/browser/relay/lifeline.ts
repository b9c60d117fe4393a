/**
 * How one side learns that the other is gone. Nothing tells a page that its worker was ended, or a worker that a service
 * worker was stopped (the `close` event of ports is Chromium's alone, since 122). But a Web Lock is given back when its
 * holder dies, however it dies: each side holds one for life, and the other waits in line for it.
 */

/** The part of a LockManager that is used; tests bring their own. */
export type Locks = Pick<LockManager, 'request'>

/** This context's locks; null where it has none (an insecure page, an opaque origin). */
export function locksHere(): Locks | null {
  return globalThis.navigator?.locks ?? null
}

/** Takes a lock of a name that nobody else has, for as long as this context lives. Null where that cannot be. */
export async function holdLifeline(locks: Locks | null): Promise<string | null> {
  if (!locks) return null
  const name = `lorikeet:life:${crypto.randomUUID()}`
  return await new Promise<string | null>((resolve) => {
    const held = locks.request(name, () => {
      resolve(name)
      return new Promise<never>(() => {})
    })
    held.catch(() => resolve(null))
  })
}

/** Calls `onGone` once the holder of a lifeline is no more, unless `signal` is aborted before. */
export function watchLifeline(
  locks: Locks | null,
  lifeline: string | null,
  { signal, onGone }: { readonly signal: AbortSignal; readonly onGone: () => void },
): void {
  if (!locks || lifeline === null) return
  locks
    .request(lifeline, { mode: 'shared', signal }, () => {
      if (!signal.aborted) onGone()
    })
    .catch(() => {}) // aborted: nobody wants to know any more
}
