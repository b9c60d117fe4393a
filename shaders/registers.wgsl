// registers: the newest token of each running sequence, where one step leaves it and the next finds it
// Data.   registers [maxSpans] u32: a token, with ENDED when it ended its sequence. The kernel that includes this, behind
//         "step", declares it. A row's token may be FED with the number of a register. A sequence's rows come one step
//         after the other, so nobody reads a register in the dispatch that writes it.
const FED = 0x80000000u;
const ENDED = 0x80000000u;

/// The token of a row of the step.
fn token_of(row: u32) -> u32 {
  let token = row_token(row);
  if ((token & FED) == 0u) { return token; }
  return registers[token & ~FED] & ~ENDED;
}

/// Whether a row of the step was fed by a sequence that had ended.
fn is_void(row: u32) -> bool {
  let token = row_token(row);
  if ((token & FED) == 0u) { return false; }
  return (registers[token & ~FED] & ENDED) != 0u;
}
