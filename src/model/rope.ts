/**
 * Rotary embedding angles, rounded to f32 at the points where transformers rounds them: at long positions the angle is
 * large, and a frequency that is off in its last bit turns it visibly.
 */
import type { ModelSpec, RopeScaling } from './spec.ts'

const f32 = Math.fround

type RopeSpec = Pick<ModelSpec, 'headDim' | 'rotaryDim' | 'ropeTheta' | 'ropeScaling'>

/** Cosine and sine for positions 0 .. numPositions - 1: [position][headDim / 2][cos, sin], last the pairs that are not turned. */
export function ropeTable(spec: RopeSpec, numPositions: number): Float32Array<ArrayBuffer> {
  const frequencies = ropeFrequencies(spec)
  const { headDim, ropeScaling } = spec
  const scale = f32(ropeScaling.type === 'longrope' ? ropeScaling.attentionFactor : 1)
  const table = new Float32Array(numPositions * headDim)
  for (let position = 0; position < numPositions; position++) {
    for (let pair = 0, at = position * headDim; pair < headDim / 2; pair++, at += 2) {
      const frequency = frequencies[pair]
      const angle = f32(position * (frequency ?? 0))
      table[at] = frequency === undefined ? 1 : f32(Math.cos(angle)) * scale
      table[at + 1] = f32(Math.sin(angle)) * scale
    }
  }
  return table
}

/** Radians per position of each pair of dimensions (i, i + rotaryDim / 2): [rotaryDim / 2]. */
export function ropeFrequencies(spec: RopeSpec): Float32Array<ArrayBuffer> {
  const { rotaryDim, ropeTheta, ropeScaling } = spec
  return Float32Array.from({ length: rotaryDim / 2 }, (_, pair) => {
    const wavelength = f32(f32(ropeTheta) ** f32((2 * pair) / rotaryDim))
    if (ropeScaling.type === 'longrope') return f32(1 / f32(f32(ropeScaling.factors[pair]!) * wavelength))
    return scaled(f32(1 / wavelength), ropeScaling)
  })
}

function scaled(frequency: number, scaling: Exclude<RopeScaling, { readonly type: 'longrope' }>): number {
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
