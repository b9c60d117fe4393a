// lora_scale_bias: y[row, o] = y[row, o] * row_scale[adapter of row][o] + bias[adapter of row][o]
// Work.   One invocation owns four outputs of every row of one tile (rows of one adapter): x over the outputs, y over the
//         tiles. Dispatched after lora_expand, and only when an adapter of the step has a row scale (DoRA) or a bias.
// Data.   y [rows, sum of outs] f32, base and adapter already added; row_scale and bias in slab as f32, see lora_table.
//         What an adapter lacks is skipped; a projection that it leaves alone is not touched.
// Limits. outs are multiples of 4.
// Twin.   src/model/kernels/loraScaleBias.ts; checked against test/support/reference/lora.ts.
//#include "step"
//#include "lora_table"

struct Params {
  outs4: vec3<u32>, // width of each projection / 4, 0 where there is none
  layer: u32,
  num_layers: u32,
  group: u32,
  tiles: u32, // see tile_at
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_words: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> slab: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let tile = tile_at(params.tiles, id.y);
  let entry = lora_entry(tile.slot, params.layer, params.num_layers, params.group);
  let outs4 = params.outs4;
  let stride4 = outs4.x + outs4.y + outs4.z;
  if (id.x >= stride4) { return; }
  var projection = 0u;
  var o4 = id.x;
  if (o4 >= outs4.x) { projection = 1u; o4 -= outs4.x; }
  if (projection == 1u && o4 >= outs4.y) { projection = 2u; o4 -= outs4.y; }
  let p = lora_projection(entry, projection);
  if ((p.row_scale | p.bias) == 0u) { return; }

  var scale = vec4<f32>(1.0);
  var bias = vec4<f32>();
  if (p.row_scale != 0u) { scale = slab[p.row_scale / 4u + o4]; }
  if (p.bias != 0u) { bias = slab[p.bias / 4u + o4]; }
  for (var row = tile.row_start; row < tile.row_start + tile.row_count; row++) {
    y[row * stride4 + id.x] = fma(y[row * stride4 + id.x], scale, bias);
  }
}
