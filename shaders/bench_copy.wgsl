// bench_copy: target[i] = source[i], as fast as the device moves memory.
// Work.   An invocation copies vectors i, i + T, i + 2 T, … where T is the number of invocations of the dispatch, so that
//         neighbours read and write neighbours in every turn.
// Data.   source and target: at least `count` vectors of 16 bytes.
// Twin.   src/bench/kernels/deviceCases.ts; checked by test/bench/kernels.test.ts.
struct Params {
  count: u32, // vectors
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> copied: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    copied[i] = source[i];
  }
}
