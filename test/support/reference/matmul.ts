/** Plain matrix product in f64, with what its rounding errors scale with. */

export interface Product {
  /** [rows, out] */
  readonly y: Float64Array
  /** Sum of the absolute terms of each element of y. */
  readonly magnitudes: Float64Array
}

/** y[row, o] = sum of x[row, k] * w[o, k]. @param x [rows, inputs] @param w [out, inputs] */
export function matmulReference(x: ArrayLike<number>, w: ArrayLike<number>, inputs: number): Product {
  const rows = x.length / inputs
  const out = w.length / inputs
  const y = new Float64Array(rows * out)
  const magnitudes = new Float64Array(rows * out)
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < out; o++) {
      for (let k = 0; k < inputs; k++) {
        const term = x[row * inputs + k]! * w[o * inputs + k]!
        y[row * out + o]! += term
        magnitudes[row * out + o]! += Math.abs(term)
      }
    }
  }
  return { y, magnitudes }
}
