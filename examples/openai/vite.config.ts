import { defineConfig } from 'vite'
import { modelsAt } from '../modelsAt.ts'

export default defineConfig({ base: './', plugins: [modelsAt()] })
