// cache (f16): four elements of a key or value in two words, rounded to halves. Packing is core WGSL: no shader-f16.
// Twin.   cache_f32.wgsl.
//#include "halves"
alias Cached4 = vec2<u32>;
fn to_cache(x: vec4<f32>) -> Cached4 { return halves4(x); }
fn from_cache(cached: Cached4) -> vec4<f32> { return vec4<f32>(unpack2x16float(cached.x), unpack2x16float(cached.y)); }
