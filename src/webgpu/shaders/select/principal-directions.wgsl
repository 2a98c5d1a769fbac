//! params PrincipalParams
//! use group, workgroup-sum
//! extra matrices: u32, turns: u32
// The directions in which the keys of a head vary most.
//
//   matrices   f32 [H, d, d]   covariances, in place: diagonal afterwards; d at most 1024
//   turns      f32 [H, d, d]   room for the directions
//   basis      f32 [H, r, d]   contiguous: orthonormal rows, the largest variance first, the largest element of each positive
//   variances  f32 [H, r]      contiguous
//
//   Rotations of pairs that have no row in common, all at once (Jacobi 1846; Brent and Luk 1985). Loki (Singhania 2024).
//
// Workgroup: one head.

var<workgroup> cosines: array<f32, 512>;
var<workgroup> sines: array<f32, 512>;
var<workgroup> pairs: array<vec2u, 512>;
var<workgroup> unfinished: u32;

fn at(matrix: u32, i: u32, j: u32) -> u32 { return matrix + (i * u32(p.d) + j) * 4u; }

// The pair k of step s of a tournament of n players: all but the last go round.
fn pairOf(n: u32, s: u32, k: u32) -> vec2u {
  let a = (s + k) % (n - 1u);
  var b = n - 1u;
  if (k > 0u) { b = (s + n - 1u - k) % (n - 1u); }
  return vec2u(min(a, b), max(a, b));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let h = groupIndex(wg, grid);
  if (h >= p.groups) { return; }
  let d = u32(p.d);
  let a = p.matrices + h * d * d * 4u;
  let v = p.turns + h * d * d * 4u;
  for (var e = t; e < d * d; e += 256u) { storeF(v + e * 4u, select(0.0, 1.0, e / d == e % d)); }
  let players = (d + 1u) & ~1u;
  let half = players / 2u;
  for (var sweep = 0u; sweep < select(0u, 14u, d > 1u); sweep += 1u) {
    for (var s = 0u; s + 1u < players; s += 1u) {
      storageBarrier();
      workgroupBarrier();
      for (var k = t; k < half; k += 256u) {
        let pair = pairOf(players, s, k);
        var c = 1.0;
        var sine = 0.0;
        if (pair.y < d) {
          let off = loadF(at(a, pair.x, pair.y));
          if (off != 0.0) {
            let theta = (loadF(at(a, pair.y, pair.y)) - loadF(at(a, pair.x, pair.x))) / (2.0 * off);
            let size = abs(theta);
            // of a large angle's root only its size is left, and its square may be too large
            var turn = 0.5 / max(size, 1e-30);
            if (size < 1e15) { turn = 1.0 / (size + sqrt(theta * theta + 1.0)); }
            if (theta < 0.0) { turn = -turn; }
            c = inverseSqrt(turn * turn + 1.0);
            sine = turn * c;
          }
        }
        pairs[k] = pair;
        cosines[k] = c;
        sines[k] = sine;
      }
      workgroupBarrier();
      for (var e = t; e < half * d; e += 256u) {
        let k = e / d;
        let j = e - k * d;
        let pair = pairs[k];
        if (pair.y >= d || sines[k] == 0.0) { continue; }
        let x = loadF(at(a, pair.x, j));
        let y = loadF(at(a, pair.y, j));
        storeF(at(a, pair.x, j), cosines[k] * x - sines[k] * y);
        storeF(at(a, pair.y, j), sines[k] * x + cosines[k] * y);
        let z = loadF(at(v, pair.x, j));
        let w = loadF(at(v, pair.y, j));
        storeF(at(v, pair.x, j), cosines[k] * z - sines[k] * w);
        storeF(at(v, pair.y, j), sines[k] * z + cosines[k] * w);
      }
      storageBarrier();
      workgroupBarrier();
      for (var e = t; e < half * d; e += 256u) {
        let j = e / half;
        let k = e - j * half;
        let pair = pairs[k];
        if (pair.y >= d || sines[k] == 0.0) { continue; }
        let x = loadF(at(a, j, pair.x));
        let y = loadF(at(a, j, pair.y));
        storeF(at(a, j, pair.x), cosines[k] * x - sines[k] * y);
        storeF(at(a, j, pair.y), sines[k] * x + cosines[k] * y);
      }
    }
    storageBarrier();
    workgroupBarrier();
    var beside = 0.0;
    var square = 0.0;
    for (var e = t; e < d * d; e += 256u) {
      let x = loadF(a + e * 4u);
      if (e / d == e % d) { square += x * x; } else { beside += x * x; }
    }
    beside = workgroupSum(t, beside);
    square = workgroupSum(t, square);
    if (t == 0u) { unfinished = u32(beside > 1e-15 * square); }
    if (workgroupUniformLoad(&unfinished) == 0u) { break; }
  }
  storageBarrier();
  workgroupBarrier();
  for (var i = t; i < d; i += 256u) {
    let own = loadF(at(a, i, i));
    var rank = 0u;
    for (var j = 0u; j < d; j += 1u) {
      let other = loadF(at(a, j, j));
      rank += u32(other > own || (other == own && j < i));
    }
    if (rank >= u32(p.r)) { continue; }
    var largest = 0.0;
    for (var c = 0u; c < d; c += 1u) {
      let x = loadF(at(v, i, c));
      if (abs(x) > abs(largest)) { largest = x; }
    }
    let sign = select(1.0, -1.0, largest < 0.0);
    let out = p.basis + (h * u32(p.r) + rank) * d * 4u;
    for (var c = 0u; c < d; c += 1u) { storeF(out + c * 4u, sign * loadF(at(v, i, c))); }
    storeF(p.variances + (h * u32(p.r) + rank) * 4u, own);
  }
}
