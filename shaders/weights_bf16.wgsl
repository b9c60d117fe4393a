// weights (bf16): four weights in two words, the first in the low half; bf16 is the upper half of an f32.
// Twin.   weights_f32.wgsl, weights_f16.wgsl.
alias Packed4 = vec2<u32>;
fn weights4(packed: Packed4) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(packed.x << 16u, packed.x & 0xffff0000u, packed.y << 16u, packed.y & 0xffff0000u));
}
