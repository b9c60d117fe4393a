// crew (workgroup): the invocations that look through one row of logits together are a whole workgroup.
// Work.   Crew c of all is workgroup c along x, so the grid is exact.
// Sums.   A tree in workgroup memory, in fixed order: the same bits on every run.
// Limits. 40 * WORKGROUP bytes of workgroup memory; WORKGROUP is a power of two. crew_tally() needs uniform control flow,
//         and what it returns is uniform. It has barriers: kernels call it in one place, inside a loop, since software
//         devices take a second to compile each. "step" must be included too.
// Twin.   crew_subgroup.wgsl; src/model/kernels/crew.ts chooses.
const WORKGROUP = 32u;

struct Crew {
  @builtin(local_invocation_index) lane: u32,
}

/// What a lane found in a pass over the row, and after crew_tally() what all lanes found together.
struct Tally {
  // The largest key, and the lowest id that has it.
  best: u32,
  id: u32,
  counts: vec4<f32>,
  masses: vec4<f32>,
}

var<workgroup> tallies: array<Tally, WORKGROUP>;
var<workgroup> agreed: Tally;

fn crew_lane(crew: Crew) -> u32 { return crew.lane; }
fn crew_lanes(crew: Crew) -> u32 { return WORKGROUP; }

/// Which crew this is, along x.
fn crew_index(crew: Crew, workgroup_x: u32) -> u32 { return workgroup_x; }

/// True for crews that have nothing to do: none here. Barriers that follow stay in uniform control flow.
fn crew_beyond(index: u32, count: u32) -> bool { return false; }

fn joined(one: Tally, other: Tally) -> Tally {
  let ahead = other.best > one.best || (other.best == one.best && other.id < one.id);
  return Tally(
    select(one.best, other.best, ahead), select(one.id, other.id, ahead),
    one.counts + other.counts, one.masses + other.masses,
  );
}

/// Tallies of all lanes as one, the same in every lane.
fn crew_tally(crew: Crew, mine: Tally) -> Tally {
  tallies[crew.lane] = mine;
  // The bound is one that compilers cannot see through: unrolled, the barriers would take software devices four times as
  // long to compile.
  for (var half = select(1u, WORKGROUP / 2u, num_logits() > 0u); half > 0u; half /= 2u) {
    workgroupBarrier();
    if (crew.lane < half) { tallies[crew.lane] = joined(tallies[crew.lane], tallies[crew.lane + half]); }
  }
  if (crew.lane == 0u) { agreed = tallies[0]; }
  return workgroupUniformLoad(&agreed);
}
