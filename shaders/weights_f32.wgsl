// weights (f32): four weights in a load, as they are.
// Twin.   weights_f16.wgsl, weights_bf16.wgsl.
alias Packed4 = vec4<f32>;
fn weights4(packed: Packed4) -> vec4<f32> { return packed; }
