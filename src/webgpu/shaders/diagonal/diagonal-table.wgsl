//! params DiagonalTableParams
//! extra channels: u32
//! use group, discretize
// Table of the coefficients of complex diagonal recurrences.
//
//   tensors as of the kernel diagonalTable
//
// Thread: one state of one channel, zeros behind the last.

const LEAST_B = 1e-30;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 64u + t;
  let padded = ((u32(p.states) + 3u) / 4u) * 4u;
  if (i >= p.channels * padded) { return; }
  let h = i / padded;
  let n = i - h * padded;
  var a = vec2f();
  var b = vec2f();
  var c = vec2f();
  if (n < u32(p.states)) {
    let all = coefficientsOf(h, n);
    a = all.a;
    b = product2(all.b, powerOf(all, -all.back));
    c = all.c;
    // states are divided by b: one so small that its input does not count must still be a number to divide by
    if (abs(b.x) < LEAST_B && abs(b.y) < LEAST_B) { b.x = LEAST_B; }
  }
  let cb = product2(c, b);
  let at = p.table + (h * padded + n - (n & 3u)) * 32u + (n & 3u) * 4u;
  storeF(at, a.x);
  storeF(at + 16u, a.y);
  storeF(at + 32u, b.x);
  storeF(at + 48u, b.y);
  storeF(at + 64u, c.x);
  storeF(at + 80u, c.y);
  storeF(at + 96u, cb.x);
  storeF(at + 112u, cb.y);
}
