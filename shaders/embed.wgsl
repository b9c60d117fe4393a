// embed: residual[row] = table[token of row]
// Work.   One invocation widens four elements of one row: x along the row, y over the rows.
// Data.   table [rows of this shard, hidden] in its own width; residual [rows, hidden] f32. A sharded table takes one
//         dispatch per shard, and rows whose token is in another shard are left alone. A row may take its token from a
//         register, where the sampler of an earlier step left it.
// Limits. hidden is a multiple of 4.
// Twin.   src/model/kernels/embed.ts; checked against test/support/reference/embed.ts.
//#include "step"
//#include "registers"
//#include "weights"

struct Params {
  hidden4: u32, // hidden / 4
  shard_start: u32, // token of the shard's first row
  shard_rows: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<Packed4>;
@group(0) @binding(3) var<storage, read> registers: array<u32>;
@group(0) @binding(4) var<storage, read_write> residual: array<vec4<f32>>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  let row = id.y;
  let token = token_of(row) - params.shard_start; // wraps to a large number below the shard
  if (column >= params.hidden4 || token >= params.shard_rows) { return; }
  residual[row * params.hidden4 + column] = weights4(table[token * params.hidden4 + column]);
}
