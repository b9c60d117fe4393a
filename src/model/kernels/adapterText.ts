/** The kernels of adapters are compiled when the first adapter comes, and their texts are loaded then. */
import type { KernelDefinition } from '../../gpu/kernel.ts'
import { part } from '../../part.ts'

/** For a KernelDefinition: its text, when it is wanted. */
export function adapterText(name: keyof typeof import('./adapterTexts.ts')): KernelDefinition['source'] {
  return async () => (await part(() => import('./adapterTexts.ts')))[name]
}
