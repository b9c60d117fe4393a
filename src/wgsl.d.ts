/** Shader sources are imported as text: `import source from '../../shaders/x.wgsl' with { type: 'text' }`. */
declare module '*.wgsl' {
  const source: string
  export default source
}
