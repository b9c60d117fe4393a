/** Residual addition as transformers rounds it, and RMS norm in f64. */

/** residual + (delta + bias), each addition rounded to f32. All [rows, hidden] but bias [hidden]. */
export function addReference(
  residual: Float32Array,
  delta: Float32Array,
  bias: Float32Array | null,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(residual, (x, i) => {
    return x + (bias ? Math.fround(delta[i]! + bias[i % bias.length]!) : delta[i]!)
  })
}

/** gain * x / sqrt(mean(x^2) + eps) per row of gain.length elements. */
export function rmsNormReference(x: ArrayLike<number>, gain: ArrayLike<number>, eps: number): Float64Array {
  const hidden = gain.length
  const y = new Float64Array(x.length)
  for (let start = 0; start < x.length; start += hidden) {
    let squares = 0
    for (let i = 0; i < hidden; i++) squares += x[start + i]! ** 2
    const scale = 1 / Math.sqrt(squares / hidden + eps)
    for (let i = 0; i < hidden; i++) y[start + i] = gain[i]! * x[start + i]! * scale
  }
  return y
}
