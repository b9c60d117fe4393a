/** `GET /v1/metadata`: what is served, in the shape of NIM. Fields about containers have nothing to say here. */
import type { Service } from './service.ts'

export interface MetadataJson {
  readonly version: string
  readonly modelInfo: readonly { readonly shortName: string; readonly modelUrl: string }[]
  readonly assetInfo: readonly string[]
  readonly licenseInfo: { readonly name: string; readonly path: string; readonly url: string; readonly type: 'file' }
  readonly repository_override: string
  /** The numeric profile: see profileOf(). */
  readonly selectedModelProfileId: string
}

export function metadataJson({ version, modelNames, modelRoot, profile }: Service): MetadataJson {
  return {
    version,
    modelInfo: [{ shortName: modelNames[0], modelUrl: modelRoot }],
    assetInfo: [],
    licenseInfo: {
      name: 'Apache-2.0',
      path: 'LICENSE',
      url: 'https://www.apache.org/licenses/LICENSE-2.0',
      type: 'file',
    },
    repository_override: '',
    selectedModelProfileId: profile,
  }
}
