// weights (f16): four weights in two words, the first in the low half. unpack2x16float is core WGSL: no shader-f16.
// Twin.   weights_f32.wgsl, weights_bf16.wgsl.
alias Packed4 = vec2<u32>;
fn weights4(packed: Packed4) -> vec4<f32> { return vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y)); }
