// gain (own): rows may have norm gains that their adapter brings.
// Data.   table as lora_table describes it; a gain lies in slab as f32. The kernel that includes this includes step, and
//         has seven bindings of its own.
// Twin.   gain_base.wgsl, for all other steps: the same arithmetic.
@group(0) @binding(7) var<storage, read> table: array<u32>;
@group(0) @binding(8) var<storage, read> slab: array<vec4<f32>>;

/// Where the row's own gain lies, or 0. Entries of a slot take slot_words; `word` is that of the gain's offset.
fn own_gain(row: u32, slot_words: u32, word: u32) -> u32 {
  let slot = row_slot(row);
  if (slot == 0u) { return 0u; }
  return table[(slot - 1u) * slot_words + word] / 4u;
}
/// Four elements of the gain at `at`.
fn own_gain4(at: u32, i: u32) -> vec4<f32> { return slab[at + i]; }
