// lora_slab: elements of an adapter's matrices, in whichever type it has.
// Data.   The kernel that includes this declares `slab` as pairs of words. Four elements take one pair, or two of f32.

/// Pairs of words that four elements of `dtype` take.
fn slab_pairs(dtype: u32) -> u32 { return select(1u, 2u, dtype == F32); }

/// Four elements whose first pair is slab[at]. `dtype` is a literal where this is called, so no branch is left of it.
fn slab4(dtype: u32, at: u32) -> vec4<f32> {
  let p = slab[at];
  if (dtype == F16) { return vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y)); }
  if (dtype == BF16) {
    return bitcast<vec4<f32>>(vec4<u32>(p.x << 16u, p.x & 0xffff0000u, p.y << 16u, p.y & 0xffff0000u));
  }
  return bitcast<vec4<f32>>(vec4<u32>(p, slab[at + 1u]));
}
