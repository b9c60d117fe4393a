// embed_down: down[row, c] = A[token of row, c] of the row's adapter: LoRA on the embedding, up to lora_expand
// Work.   One invocation widens four columns of every row of one tile (rows of one adapter): x over the columns of the
//         largest rank, y over the tiles.
// Data.   A in slab as [vocab, rank], see lora_table; down [row_capacity, columns] f32: one slice.
// Twin.   src/model/kernels/embedDown.ts; checked by test/model/kernels/ownRows.test.ts. Completed by lora_expand.
//#include "step"
//#include "registers"
//#include "lora_table"
//#include "lora_slab"

struct Params {
  columns4: u32, // width of down / 4
  layer: u32,
  num_layers: u32,
  group: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> slab: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> registers: array<u32>;
@group(0) @binding(5) var<storage, read_write> down: array<vec4<f32>>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let tile = tile_at(STEP_TILES, id.y);
  let a = lora_group(lora_entry(tile.slot, params.layer, params.num_layers, params.group));
  let rank4 = a.rank_sum / 4u;
  if (id.x >= rank4) { return; }
  let pairs = slab_pairs(a.dtype);
  for (var row = tile.row_start; row < tile.row_start + tile.row_count; row++) {
    down[row * params.columns4 + id.x] = slab4(a.dtype, a.a / 2u + (token_of(row) * rank4 + id.x) * pairs);
  }
}
