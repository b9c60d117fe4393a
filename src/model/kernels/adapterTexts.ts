/** Texts of the kernels that only adapters need. In a browser they are a file of their own: see adapterText.ts. */
export { default as embed_down } from '../../../shaders/embed_down.wgsl' with { type: 'text' }
export { default as lora_expand } from '../../../shaders/lora_expand.wgsl' with { type: 'text' }
export { default as lora_scale_bias } from '../../../shaders/lora_scale_bias.wgsl' with { type: 'text' }
export { default as lora_shrink } from '../../../shaders/lora_shrink.wgsl' with { type: 'text' }
export { default as own_embed } from '../../../shaders/own_embed.wgsl' with { type: 'text' }
export { default as own_head } from '../../../shaders/own_head.wgsl' with { type: 'text' }
