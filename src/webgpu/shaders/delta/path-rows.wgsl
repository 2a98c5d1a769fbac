//! params PathBlocksParams
//! extra first: i32, count: i32, scratch: u32
//! use group, path-scratch, special
// Rows of PaTH's blocks widened: w, k, q, and -beta w where X will be. Operands as above the kernel pathBlocks in assembly/delta/path-blocks.ts.
//
// Thread: four elements of a row; rows of the key heads first, then those of the query heads.

fn row4(kind: i32, base: u32, at: i32, left: i32) -> vec4f {
  var x = vec4f();
  for (var e = 0; e < min(left, 4); e += 1) { x[e] = loadAs(kind, base, at + e); }
  return x;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let n = groupIndex(wg, grid) * 256u + t;
  let vectors = width4() / 4u;
  let row = n / vectors;
  let c = i32(n - row * vectors) * 4;
  let tile = row / 64u;
  if (tile >= headsOfKeys() + headsOfQueries()) { return; }
  let r = i32(row % 64u);
  let queries = tile >= headsOfKeys();
  let i = select(tile, tile - headsOfKeys(), queries);
  let block = blockOf(i);
  let h = headOf(i);
  let s = sequenceAt(sequenceOfBlock(block));
  let token = (block - s.packBlock) * 64 + r;
  let there = token < s.kLength;
  let left = select(0, p.dk - c, there);
  let at = s.kStart + token;
  let to = u32(r) * width4() * 4u + u32(c) * 4u;
  if (queries) {
    let x = row4(p.qType, p.q, s.batch * p.qStrideB + at * p.qStrideT + h * p.qStrideH + c, left);
    storeF4(qTile(i) + to, x * (p.scale * LOG2E));
    return;
  }
  let w = row4(p.wType, p.w, s.batch * p.wStrideB + at * p.wStrideT + h * p.wStrideH + c, left);
  storeF4(wTile(i) + to, w);
  storeF4(kTile(i) + to, row4(p.kType, p.k, s.batch * p.kStrideB + at * p.kStrideT + h * p.kStrideH + c, left));
  var beta = 0.0;
  if (there) { beta = loadF(p.beta + u32(s.batch * p.betaStrideB + at * p.betaStrideT + h * p.betaStrideH) * 4u); }
  storeF4(xzTile(i) + u32(r) * xzRow() + u32(c) * 4u, w * -beta);
}
