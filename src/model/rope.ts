/**
 * Rotary embedding angles, rounded to f32 at the points where transformers rounds them: at long positions the angle is
 * large, and a frequency that is off in its last bit turns it visibly.
 */
import type { ModelSpec, RopeScaling } from './spec.ts'

const f32 = Math.fround

type RopeSpec = Pick<ModelSpec, 'headDim' | 'ropeTheta' | 'ropeScaling'>

/** Cosine and sine for positions 0 .. numPositions - 1: [position][headDim / 2][cos, sin]. */
export function ropeTable(spec: RopeSpec, numPositions: number): Float32Array<ArrayBuffer> {
  const frequencies = ropeFrequencies(spec)
  const table = new Float32Array(numPositions * frequencies.length * 2)
  let at = 0
  for (let position = 0; position < numPositions; position++) {
    for (const frequency of frequencies) {
      const angle = f32(position * frequency)
      table[at++] = Math.cos(angle)
      table[at++] = Math.sin(angle)
    }
  }
  return table
}

/** Radians per position of each pair of dimensions (i, i + headDim / 2): [headDim / 2]. */
export function ropeFrequencies(spec: RopeSpec): Float32Array<ArrayBuffer> {
  const { headDim, ropeTheta, ropeScaling } = spec
  return Float32Array.from({ length: headDim / 2 }, (_, pair) => {
    const wavelength = f32(f32(ropeTheta) ** f32((2 * pair) / headDim))
    return scaled(f32(1 / wavelength), ropeScaling)
  })
}

function scaled(frequency: number, scaling: RopeScaling): number {
  switch (scaling.type) {
    case 'default':
      return frequency
    case 'linear':
      return f32(frequency / f32(scaling.factor))
    case 'llama3': {
      const { lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling
      const factor = f32(scaling.factor)
      const wavelength = f32(f32(1 / frequency) * f32(2 * Math.PI))
      if (wavelength < f32(originalMaxPositions / highFreqFactor)) return frequency
      if (wavelength > f32(originalMaxPositions / lowFreqFactor)) return f32(frequency / factor)
      // Between the two: turns in the original context, mapped to 0 .. 1.
      const turns = f32(f32(1 / wavelength) * originalMaxPositions)
      const smooth = f32(f32(turns - f32(lowFreqFactor)) / f32(highFreqFactor - lowFreqFactor))
      return f32(f32(f32(f32(1 - smooth) * frequency) / factor) + f32(smooth * frequency))
    }
  }
}
