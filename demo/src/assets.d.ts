/** What vite puts into the page at build time. */
interface ImportMeta {
  readonly env: { readonly PROD: boolean }
}
