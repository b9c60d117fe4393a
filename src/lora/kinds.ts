/** What an adapter is made of, in the words of docs/kinds.md: for those who list adapters, and for those who mix them. */
import type { NormalAdapter } from './normal.ts'

export type AdapterKind = 'lora' | 'dora' | 'bias' | 'norms' | 'embedding' | 'head' | 'rows' | 'layers' | 'alora'

/** In this order, each that it has. `rows`: whole rows in place of the base's, of the embedding or the output layer. */
export function kindsOf(adapter: NormalAdapter): readonly AdapterKind[] {
  const { modules, norms = [], embedding, head, layers, invocation } = adapter
  const parts = [...modules, ...[embedding, head].flatMap((change) => change?.lora ?? [])]
  const has: Readonly<Record<AdapterKind, boolean>> = {
    lora: parts.some(({ rank }) => rank > 0),
    dora: parts.some(({ magnitude }) => magnitude !== undefined),
    bias: parts.some(({ bias, loraBias }) => bias !== undefined || loraBias !== undefined),
    norms: norms.length > 0,
    embedding: embedding !== undefined,
    head: head !== undefined,
    rows: embedding?.rows !== undefined || head?.rows !== undefined,
    layers: layers !== undefined,
    alora: invocation !== undefined,
  }
  return (Object.keys(has) as AdapterKind[]).filter((kind) => has[kind])
}
