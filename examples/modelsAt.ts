/** For the examples: serves and copies the model that comes with lorikeet. Elsewhere, put your model's folder into `public/`. */
import { cpSync, createReadStream, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'

const MODELS = fileURLToPath(new URL('../models/', import.meta.url))

export function modelsAt(): Plugin {
  return {
    name: 'models',
    configureServer(server) {
      server.middlewares.use('/models', (request, response, next) => {
        const file = join(MODELS, new URL(request.url ?? '/', 'http://x').pathname)
        if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return next()
        createReadStream(file).pipe(response)
      })
    },
    writeBundle({ dir }) {
      cpSync(join(MODELS, 'aviary'), join(dir!, 'models/aviary'), { recursive: true })
    },
  }
}
