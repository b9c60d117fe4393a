// own_embed: residual[row] = own row of the row's token, where the adapter brings one
// Work.   One invocation writes four elements of every row of one tile (rows of one adapter): x along the row, y over the
//         tiles. Dispatched after embed, and only when an adapter of the step brings rows of the embedding.
// Data.   Rows in slab in their own width and the ascending list of their tokens, see lora_table; residual [rows, hidden]
//         f32. A token that is not in the list keeps the base's row.
// Limits. hidden is a multiple of 4.
// Twin.   src/model/kernels/ownEmbed.ts; checked by test/model/kernels/ownRows.test.ts.
//#include "step"
//#include "registers"
//#include "lora_table"
//#include "lora_slab"

struct Params {
  hidden4: u32, // hidden / 4
  layer: u32,
  num_layers: u32,
  group: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> slab: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> registers: array<u32>;
@group(0) @binding(5) var<storage, read_write> residual: array<vec4<f32>>;

/// Which of the own rows is the token's; own.count if none is.
fn find(own: LoraRows, token: u32) -> u32 {
  if (own.tokens == 0u) { return token; }
  var low = 0u;
  var high = own.count;
  while (low < high) {
    let middle = (low + high) / 2u;
    let word = own.tokens + middle;
    if (slab[word / 2u][word % 2u] < token) { low = middle + 1u; } else { high = middle; }
  }
  let word = own.tokens + low;
  if (low < own.count && slab[word / 2u][word % 2u] == token) { return low; }
  return own.count;
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let tile = tile_at(STEP_TILES, id.y);
  let own = lora_rows(lora_entry(tile.slot, params.layer, params.num_layers, params.group));
  if (id.x >= params.hidden4 || own.count == 0u) { return; }
  let pairs = slab_pairs(own.dtype);
  for (var row = tile.row_start; row < tile.row_start + tile.row_count; row++) {
    let at = find(own, token_of(row));
    if (at >= own.count) { continue; }
    residual[row * params.hidden4 + id.x] = slab4(own.dtype, own.matrix / 2u + (at * params.hidden4 + id.x) * pairs);
  }
}
