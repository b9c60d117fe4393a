// step: the tables of one step, uploaded in one write; src/model/stepTables.ts packs them.
// Data.   A header of counts and offsets, then rows, adapter tiles, logits rows and runs, each at its offset, then block
//         tables. All words are u32. The kernel that includes this declares `step_words`, its binding 1.
const STEP_ROW_WORDS = 4u;
const STEP_TILE_WORDS = 4u;
const STEP_LOGITS_WORDS = 16u;
const STEP_RUN_WORDS = 2u;
// Tokens per block of the KV cache.
const BLOCK = 16u;

fn num_rows() -> u32 { return step_words[0]; }
fn num_logits() -> u32 { return step_words[2]; }
fn num_splits() -> u32 { return step_words[6]; }

fn row_token(row: u32) -> u32 { return step_words[step_words[3] + row * STEP_ROW_WORDS]; }
fn row_position(row: u32) -> u32 { return step_words[step_words[3] + row * STEP_ROW_WORDS + 1u]; }
/// Where the row's block table begins in step_words.
fn row_blocks(row: u32) -> u32 { return step_words[step_words[3] + row * STEP_ROW_WORDS + 2u]; }

/// Adapter slot of the row + 1; 0 for the base.
fn row_slot(row: u32) -> u32 { return step_words[step_words[3] + row * STEP_ROW_WORDS + 3u]; }

/// Slot in the cache of a position: physical block * BLOCK + offset in the block. The block table names `folds` blocks for
/// the same BLOCK positions, one behind the other, and `blocks` is where the one for this layer stands among the first.
fn cache_slot(blocks: u32, folds: u32, position: u32) -> u32 {
  return step_words[blocks + position / BLOCK * folds] * BLOCK + position % BLOCK;
}

/// Words of the header that say where the tiles begin: those of the rows, and those of the logits rows.
const STEP_TILES = 4u;
const STEP_HEAD_TILES = 9u;

/// Rows of one adapter that are computed together. `tiles` is one of the two above.
struct Tile { slot: u32, row_start: u32, row_count: u32 }
fn tile_at(tiles: u32, tile: u32) -> Tile {
  let at = step_words[tiles] + tile * STEP_TILE_WORDS;
  return Tile(step_words[at], step_words[at + 1u], step_words[at + 2u]);
}

/// Rows that follow each other in one sequence. `runs` is the word of the header that says where their list begins; two
/// words behind it stands how many there are.
struct Run { row_start: u32, row_count: u32 }
fn run_at(runs: u32, i: u32) -> Run {
  let at = step_words[runs] + i * STEP_RUN_WORDS;
  return Run(step_words[at], step_words[at + 1u]);
}

fn num_runs(runs: u32) -> u32 { return step_words[runs + 2u]; }

/// Where the i-th logits row begins in step_words.
fn logits_at(i: u32) -> u32 { return step_words[5] + i * STEP_LOGITS_WORDS; }
/// Row of the step whose logits are the i-th wanted.
fn logits_row(i: u32) -> u32 { return step_words[logits_at(i)]; }

/// Logits rows that are adjusted before a token is drawn, and the i-th of them.
fn num_adjusted() -> u32 { return step_words[7]; }
fn adjusted_row(i: u32) -> u32 { return step_words[step_words[8] + i]; }
