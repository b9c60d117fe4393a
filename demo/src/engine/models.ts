/** Models that lie beside the page. Static hosts list no folders, so the build writes down what there is. */

export interface ModelBeside {
  readonly name: string
  /** Relative to the page. */
  readonly path: string
  /** Of all its files and those of its adapters. */
  readonly bytes: number
  readonly adapters: readonly { readonly name: string; readonly path: string }[]
}

/** `models/models.json` beside the page; empty where there is none. */
export async function modelsBeside(
  base: string,
  fetch: (url: string) => Promise<Response>,
): Promise<readonly ModelBeside[]> {
  try {
    const response = await fetch(new URL('models/models.json', base).href)
    if (!response.ok) return []
    const { models } = (await response.json()) as { models: readonly ModelBeside[] }
    return models
  } catch {
    return []
  }
}
