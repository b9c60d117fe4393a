// bench_multiply: as many fused multiply-adds a second as the device can do, on values that stay in registers.
// Work.   An invocation takes two vectors of four through `turns` steps v = v * factor + addend and writes their sum:
//         eight chains that do not wait for each other. Factor and addend are read from memory, so that no compiler knows
//         the end.
// Data.   numbers: factor and addend; sums: one vector for each invocation. Numbers are of the type Vector, f32 or f16.
// Twin.   src/bench/kernels/deviceCases.ts; checked by test/bench/kernels.test.ts.
alias Vector = vec4<f32>;

struct Params {
  turns: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> numbers: array<Vector>;
@group(0) @binding(2) var<storage, read_write> sums: array<Vector>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = numbers[0];
  let addend = numbers[1];
  var one = numbers[0];
  var other = numbers[1];
  for (var turn = 0u; turn < params.turns; turn++) {
    one = fma(one, factor, addend);
    other = fma(other, factor, addend);
  }
  sums[id.x] = one + other;
}
