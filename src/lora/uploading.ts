/** What brings an adapter's bytes into a slab, as one part: the pool loads it with the first adapter. */
export { baseVectorsOf, packGroupInto } from './packedBytes.ts'
export { layoutOf, sectionOf, useOf, writeEntry } from './packing.ts'
export { SlabWriter } from './slabWriter.ts'
