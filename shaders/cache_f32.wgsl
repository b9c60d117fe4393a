// cache (f32): four elements of a key or value as they are.
// Twin.   cache_f16.wgsl.
alias Cached4 = vec4<f32>;
fn to_cache(x: vec4<f32>) -> Cached4 { return x; }
fn from_cache(cached: Cached4) -> vec4<f32> { return cached; }
