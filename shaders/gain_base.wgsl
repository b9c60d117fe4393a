// gain (base): every row is normalised with the base's gains.
// Twin.   gain_own.wgsl, for steps with rows whose adapter brings gains of its own.
fn own_gain(row: u32, slot_words: u32, word: u32) -> u32 { return 0u; }
fn own_gain4(at: u32, i: u32) -> vec4<f32> { return vec4<f32>(); }
