/** How vitest.config.ts tells tests to start a browser, as plain values. */
export interface BrowserLaunch {
  readonly executablePath: string
  readonly args: string[]
  readonly env: Record<string, string>
}

declare module 'vitest' {
  interface ProvidedContext {
    launch: BrowserLaunch
  }
}
