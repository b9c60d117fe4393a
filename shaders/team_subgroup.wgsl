// team (subgroup): the invocations that work on one output together are a subgroup.
// Work.   WORKGROUP is a multiple of every subgroup size the device may choose, so each workgroup is made of whole teams.
//         Team t of all is the t-th subgroup along one dimension of the grid. A device that chooses a smaller subgroup
//         than it might has more teams than the grid counted on: those beyond the work leave. Where it has one size only,
//         ONE_TEAM tells the compiler that a team is a workgroup, and what depends on its index is uniform.
// Sums.   Between registers, without barrier or workgroup memory: pairs of lanes, then pairs of pairs. Every sum goes
//         through the same tree, whichever others are made beside it.
// Limits. Subgroups of 4 to 128; invocation i of a one-dimensional workgroup is lane i % size of subgroup i / size,
//         as every known driver lays them out.
// Twin.   team_workgroup.wgsl: the same functions for devices without subgroups.
const WORKGROUP = 32u;
const ONE_TEAM = false;
// Sums that team_sums() adds at once (a power of two), and values each lane can show the others.
const TEAM_SUMS = 1u;
const TEAM_SLOTS = 1u;

struct Team {
  @builtin(local_invocation_index) invocation: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
}

var<private> team_slots: array<f32, TEAM_SLOTS>;

fn team_lane(team: Team) -> u32 { return team.lane; }
fn team_lanes(team: Team) -> u32 { return team.lanes; }
/// Which invocation of the workgroup this is.
fn team_invocation(team: Team) -> u32 { return team.invocation; }

/// Which team this is, along the dimension of the grid that `workgroup` counts.
fn team_index(team: Team, workgroup: u32) -> u32 {
  if (ONE_TEAM) { return workgroup; }
  return workgroup * (WORKGROUP / team.lanes) + team.invocation / team.lanes;
}

/// Which of the teams of its workgroup this is, and how many those are.
fn team_place(team: Team) -> u32 { return select(team.invocation / team.lanes, 0u, ONE_TEAM); }
fn team_places(team: Team) -> u32 { return select(WORKGROUP / team.lanes, 1u, ONE_TEAM); }

/// True for teams that have nothing to do; all lanes of one agree.
fn team_beyond(index: u32, count: u32) -> bool { return index >= count; }

/// Sum, or maximum, of `value` over the lanes, for every lane.
fn team_sum(team: Team, value: f32) -> f32 { return subgroupAdd(value); }
fn team_max(team: Team, value: f32) -> f32 { return subgroupMax(value); }

/// `value`, which is the same in all lanes, in a form that loops around the functions above may depend on.
fn team_agree(team: Team, value: f32) -> f32 { return value; }

/// Adds the lanes of each sums[i], i < count; count is a power of two. Afterwards sums[j] of lane l is the total of
/// sums[j * lanes + l], as far as there are so many.
fn team_sums(team: Team, sums: ptr<function, array<f32, TEAM_SUMS>>, count: u32) {
  team_fold(team, sums, 1u, count);
  team_fold(team, sums, 2u, count / 2u);
  team_fold(team, sums, 4u, count / 4u);
  team_fold(team, sums, 8u, count / 8u);
  team_fold(team, sums, 16u, count / 16u);
  team_fold(team, sums, 32u, count / 32u);
  team_fold(team, sums, 64u, count / 64u);
}

/// Adds lanes that differ in `bit`. Of two neighbouring sums each lane keeps the one its own bit names and sends the other.
fn team_fold(team: Team, sums: ptr<function, array<f32, TEAM_SUMS>>, bit: u32, count: u32) {
  if (bit >= team.lanes) { return; }
  if (count < 2u) {
    (*sums)[0] += subgroupShuffleXor((*sums)[0], bit);
    return;
  }
  let upper = (team.lane & bit) != 0u;
  for (var j = 0u; j < count / 2u; j++) {
    let low = (*sums)[2u * j];
    let high = (*sums)[2u * j + 1u];
    (*sums)[j] = select(low, high, upper) + subgroupShuffleXor(select(high, low, upper), bit);
  }
}

/// Shows `value` to the other lanes: team_put() in each lane, team_sync(), team_get(), and team_sync() before the next put.
fn team_put(team: Team, slot: u32, value: f32) { team_slots[slot] = value; }
fn team_get(team: Team, slot: u32, lane: u32) -> f32 { return subgroupShuffle(team_slots[slot], lane); }
fn team_sync() {}
