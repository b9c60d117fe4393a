/**
 * Puts a model with its adapters beside the page, and a list of what there is, because static hosts list no folders. In
 * development the files are served from where they lie.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import type { Plugin } from 'vite'
import type { ModelBeside } from '../src/engine/models.ts'

/** What of a folder is read by the engine, and what its licence asks to go along. */
const WANTED = /^(.*\.json|.*\.safetensors|.*\.jinja|README\.md|LICENSE.*)$/
const TYPES: Readonly<Record<string, string>> = { '.json': 'application/json', '.md': 'text/markdown' }

interface FileOfModel {
  /** Relative to the page. */
  readonly path: string
  readonly file: string
}

export interface ModelFiles {
  readonly list: { readonly models: readonly ModelBeside[] }
  readonly files: readonly FileOfModel[]
}

/** The model in `folder`, with one adapter per folder below its `adapters/`. Nothing where there is no model. */
export function modelFiles(folder: string): ModelFiles {
  if (!existsSync(join(folder, 'config.json'))) return { list: { models: [] }, files: [] }
  const name = basename(folder)
  const root = `models/${name}`
  const adaptersAt = join(folder, 'adapters')
  const adapterNames = existsSync(adaptersAt)
    ? readdirSync(adaptersAt).filter((entry) => existsSync(join(adaptersAt, entry, 'adapter_config.json')))
    : []
  const files = [
    ...filesIn(folder, root),
    ...adapterNames.flatMap((each) => filesIn(join(adaptersAt, each), `${root}/adapters/${each}`)),
  ]
  const model: ModelBeside = {
    name,
    path: `${root}/`,
    bytes: files.reduce((sum, { file }) => sum + statSync(file).size, 0),
    adapters: adapterNames.sort().map((each) => ({ name: each, path: `${root}/adapters/${each}/` })),
  }
  return { list: { models: [model] }, files }
}

function filesIn(folder: string, path: string): FileOfModel[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && WANTED.test(entry.name))
    .map(({ name }) => ({ path: `${path}/${name}`, file: join(folder, name) }))
}

export function modelsBesidePage(folder: string): Plugin {
  return {
    name: 'models-beside-page',
    generateBundle() {
      const { list, files } = modelFiles(folder)
      this.emitFile({ type: 'asset', fileName: 'models/models.json', source: JSON.stringify(list) })
      for (const { path, file } of files) this.emitFile({ type: 'asset', fileName: path, source: readFileSync(file) })
    },
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const { list, files } = modelFiles(folder)
        const path = (request.url ?? '').split('?')[0]!.slice(1)
        if (path === 'models/models.json') {
          response.setHeader('content-type', 'application/json')
          response.end(JSON.stringify(list))
          return
        }
        const found = files.find((each) => each.path === path)
        if (!found) return path.startsWith('models/') ? void response.writeHead(404).end() : next()
        response.setHeader('content-type', TYPES[extname(found.file)] ?? 'application/octet-stream')
        response.end(readFileSync(found.file))
      })
    },
  }
}
