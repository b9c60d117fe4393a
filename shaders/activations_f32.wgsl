// activations (f32): four elements of what a projection reads, as they are.
// Twin.   activations_f16.wgsl.
alias Activation4 = vec4<f32>;
fn to_activation(x: vec4<f32>) -> Activation4 { return x; }
fn from_activation(stored: Activation4) -> vec4<f32> { return stored; }
