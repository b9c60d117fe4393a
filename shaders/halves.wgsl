// halves: four f32 rounded to f16, in two words, the first in the low half.
// Sums.   To nearest, ties to even, before packing: pack2x16float() may truncate, which WGSL allows and some GPUs do.
//         Below 2^-14 the device rounds as it likes, and may flush to zero.
// Limits. What rounds beyond 65504, and NaN, becomes NaN and not the largest half: a number that is silently another one
//         would make an answer that looks right. NaN goes through every sum and norm to the logits, where the sampler
//         finds it. Bits are compared, because compilers may assume that floats are never NaN.
const HALF_BEYOND = 0x477ff000u; // 65520, the least that rounds beyond
const HALF_NANS = 0x7e007e00u;

fn halves4(x: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(x);
  let fits = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(HALF_BEYOND);
  let odd = (bits >> vec4<u32>(13u)) & vec4<u32>(1u);
  let rounded = bitcast<vec4<f32>>((bits + vec4<u32>(0xfffu) + odd) & vec4<u32>(0xffffe000u));
  return vec2<u32>(
    select(HALF_NANS, pack2x16float(rounded.xy), all(fits.xy)),
    select(HALF_NANS, pack2x16float(rounded.zw), all(fits.zw)),
  );
}
