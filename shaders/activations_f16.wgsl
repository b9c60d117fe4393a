// activations (f16): four elements of what a projection reads in two words, rounded to halves; sums stay f32. Packing is
//         core WGSL: no shader-f16.
// Twin.   activations_f32.wgsl.
//#include "halves"
alias Activation4 = vec2<u32>;
fn to_activation(x: vec4<f32>) -> Activation4 { return halves4(x); }
fn from_activation(stored: Activation4) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(stored.x), unpack2x16float(stored.y));
}
