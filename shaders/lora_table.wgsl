// lora_table: where an adapter's part of a layer lies in the slab.
// Data.   table has an entry of LORA_ENTRY words for each (slot, layer, group); all offsets are u32 words of slab and
//         multiples of 4. Matrices lie in slab in the adapter's own width with rows of 4 n elements, vectors as f32:
//           A  [rank_sum, in], the ranks of the group's projections stacked
//           B  [out, rank] of each projection
//         Ranks are padded with zero rows and columns to multiples of 4; 0 means not adapted. Behind the last layer of a
//         slot come an entry for the embedding, whose A is [vocab, rank], and one for the output layer; both may have
//         rows of their own, of all tokens or of some.
//         The kernel that includes this declares `table`.
const LORA_ENTRY = 32u;
const LORA_GROUPS = 4u;
const LORA_PROJECTION = 8u; // words of a projection within an entry, behind LORA_HEAD words
const LORA_HEAD = 4u;
const F32 = 0u;
const F16 = 1u;
const BF16 = 2u;
// Element types this kernel can meet: it is compiled with a loop for each.
const HAS_F32 = true;
const HAS_F16 = true;
const HAS_BF16 = true;

struct LoraGroup { a: u32, rank_sum: u32, dtype: u32 }
fn lora_entry(slot: u32, layer: u32, num_layers: u32, group: u32) -> u32 {
  return ((slot * num_layers + layer) * LORA_GROUPS + group) * LORA_ENTRY;
}
fn lora_group(entry: u32) -> LoraGroup { return LoraGroup(table[entry], table[entry + 1u], table[entry + 2u]); }

struct LoraProjection {
  b: u32,
  rank: u32,
  scale: f32,
  column: u32, // where its part of down begins
  row_scale: u32, // f32 [out], or 0
  bias: u32, // f32 [out], or 0
}
fn lora_projection(entry: u32, projection: u32) -> LoraProjection {
  let at = entry + LORA_HEAD + projection * LORA_PROJECTION;
  return LoraProjection(
    table[at], table[at + 1u], bitcast<f32>(table[at + 2u]), table[at + 3u], table[at + 4u], table[at + 5u],
  );
}

/// Rows in place of the base's: `count` rows in their own type, and an ascending list of their tokens, or 0 for all.
struct LoraRows { matrix: u32, count: u32, tokens: u32, dtype: u32 }
fn lora_rows(entry: u32) -> LoraRows {
  return LoraRows(table[entry + 29u], table[entry + 30u], table[entry + 31u], table[entry + 3u]);
}
