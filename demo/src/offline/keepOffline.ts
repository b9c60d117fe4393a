/** Lets the page open without a network on later visits. The models keep themselves: see the engine's cache. */
import { SERVICE_WORKER } from './files.ts'

export function keepOffline(): void {
  // The development server has no such file, and pages that are not secure have no such workers.
  if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return
  const register = async (): Promise<void> => {
    const url = new URL(SERVICE_WORKER, document.baseURI)
    await navigator.serviceWorker.register(url, { type: 'module' })
    const { active } = await navigator.serviceWorker.ready
    active?.postMessage('refresh')
  }
  // Without it the page works as well, as long as there is a network.
  register().catch(() => undefined)
}
