/**
 * Which pages may change what is served. CORS keeps other origins from asking; but a name that its owner points to this
 * machine makes a stranger's page one of this server's own origin. So a page has to be of this machine by its name, or
 * of an origin that the server's owner named.
 */
import { ForbiddenOriginError } from './errors.ts'

const OF_THIS_MACHINE = /^(localhost|[^.]+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** Requests that no page sent have no origin and are not looked at. @throws ForbiddenOriginError */
export function assertTrustedOrigin({ headers }: Request, trusted: readonly string[]): void {
  const origin = headers.get('origin')
  if (origin === null || trusted.includes(origin) || trusted.includes('*')) return
  if (!URL.canParse(origin) || !OF_THIS_MACHINE.test(new URL(origin).hostname)) throw new ForbiddenOriginError(origin)
}
