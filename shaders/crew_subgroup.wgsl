// crew (subgroup): the invocations that look through one row of logits together are a subgroup.
// Work.   Crew c of all is the c-th subgroup along x; WORKGROUP is a multiple of every subgroup size the device may choose.
//         A device that chooses a smaller one than it might has crews beyond the rows: they leave.
// Sums.   subgroupAdd: no barrier, no workgroup memory. Its order is the device's own, the same on every run.
// Limits. Invocation i of a one-dimensional workgroup is lane i % size of subgroup i / size.
// Twin.   crew_workgroup.wgsl; src/model/kernels/crew.ts chooses.
const WORKGROUP = 32u;

struct Crew {
  @builtin(local_invocation_index) invocation: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
}

/// What a lane found in a pass over the row, and after crew_tally() what all lanes found together.
struct Tally {
  // The largest key, and the lowest id that has it.
  best: u32,
  id: u32,
  counts: vec4<f32>,
  masses: vec4<f32>,
}

fn crew_lane(crew: Crew) -> u32 { return crew.lane; }
fn crew_lanes(crew: Crew) -> u32 { return crew.lanes; }

/// Which crew this is, along x.
fn crew_index(crew: Crew, workgroup_x: u32) -> u32 {
  return workgroup_x * (WORKGROUP / crew.lanes) + crew.invocation / crew.lanes;
}

/// True for crews that have nothing to do; all lanes of one agree.
fn crew_beyond(index: u32, count: u32) -> bool { return index >= count; }

/// Tallies of all lanes as one, the same in every lane.
fn crew_tally(crew: Crew, mine: Tally) -> Tally {
  let best = subgroupMax(mine.best);
  let id = subgroupMin(select(0xffffffffu, mine.id, mine.best == best));
  return Tally(best, id, subgroupAdd(mine.counts), subgroupAdd(mine.masses));
}
