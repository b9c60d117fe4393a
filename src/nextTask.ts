/**
 * Lets the host do what has piled up (requests, timers, painting) before the next step or the next piece of an upload.
 * `setImmediate` where there is one; else a message to oneself, because browsers hold a nested `setTimeout(0)` back for 4 ms.
 */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve)
      return
    }
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close() // an open port would keep its process alive
      resolve()
    }
    port2.postMessage(null)
  })
}
