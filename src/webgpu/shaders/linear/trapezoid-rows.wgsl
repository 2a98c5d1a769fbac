//! params TrapezoidParams
//! extra blocks: u32
//! use group, storage, turns
// q and k with pair r turned by the turns of its token, which lie as the first R elements of the row of kTurned.
//
//   q, k              any storage [B, T, H, K]   rows contiguous
//   qTurned, kTurned  f32 [B, T, HV, K]          contiguous
//
// Group: 64 tokens of a sequence and head, four at a time; 64 threads to a token. At most 256 angles.

var<workgroup> found: array<f32, 1024>;

// Writes elements 2 r and 2 r + 1 of a row, turned.
fn turnPair(kind: i32, base: u32, row: i32, to: u32, r: u32, turn: vec2f) {
  let a = loadAs(kind, base, row + i32(2u * r));
  let b = loadAs(kind, base, row + i32(2u * r + 1u));
  storeF(to + r * 8u, a * turn.x - b * turn.y);
  storeF(to + r * 8u + 4u, b * turn.x + a * turn.y);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let pair = group / p.blocks;
  let n = pair / heads;
  let head = i32(pair - n * heads);
  let first = (group - pair * p.blocks) * 64u;
  let at = p.sequences + n * 32u;
  let batch = loadI(at);
  let start = loadI(at + 4u);
  let length = loadU(at + 8u);
  let angles = u32(p.angleCount);
  let keyHead = head / p.group;
  let lane = t % 64u;
  for (var block = 0u; block < 64u; block += 4u) {
    let i = block + t / 64u;
    let there = first + i < length;
    let token = start + i32(first + i);
    let to = u32(((batch * p.length + token) * p.heads + head) * p.dk) * 4u;
    workgroupBarrier();
    if (there) {
      for (var r = lane; r < angles; r += 64u) { found[(t / 64u) * 256u + r] = loadF(p.kTurned + to + r * 4u); }
    }
    workgroupBarrier();
    if (there) {
      let q = batch * p.qStrideB + token * p.qStrideT + keyHead * p.qStrideH;
      let k = batch * p.kStrideB + token * p.kStrideT + keyHead * p.kStrideH;
      for (var r = lane; r < angles; r += 64u) {
        let turn = turned(found[(t / 64u) * 256u + r]);
        turnPair(p.qType, p.q, q, p.qTurned + to, r, turn);
        turnPair(p.kType, p.k, k, p.kTurned + to, r, turn);
      }
      for (var e = 2u * angles + lane; e < u32(p.dk); e += 64u) {
        storeF(p.qTurned + to + e * 4u, loadAs(p.qType, p.q, q + i32(e)));
        storeF(p.kTurned + to + e * 4u, loadAs(p.kType, p.k, k + i32(e)));
      }
    }
  }
}
