//! extra x: u32, y: u32, rows: u32, skipped: u32, stride: u32
//! use group
//! const RADIX, NPLR
// One pass of a complex FFT of m elements in Stockham's order, which needs no reversal: butterflies of RADIX elements, m / RADIX
// apart in x and `stride` apart in y.
//
//   x, y  f32 [m, rows, 2]   the first `skipped` rows stay as they are
//
// Params: any class with m and twiddles, f32 [2 m, 2] of e^(-2 pi i k / (2 m)). Thread: one butterfly of one row.

fn complexAt(base: u32, i: u32) -> vec2f { return vec2f(loadF(base + i * 8u), loadF(base + i * 8u + 4u)); }

fn storeComplex(base: u32, i: u32, x: vec2f) {
  storeF(base + i * 8u, x.x);
  storeF(base + i * 8u + 4u, x.y);
}

fn times(a: vec2f, b: vec2f) -> vec2f { return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let kept = p.rows - p.skipped;
  let part = u32(p.m) / RADIX;
  if (i >= part * kept) { return; }
  let k = i / kept;
  let row = p.skipped + i - k * kept;
  let group = k / p.stride;
  let to = (group * p.stride * RADIX + k - group * p.stride) * p.rows + row;
  let step = p.stride * p.rows;
  let from0 = k * p.rows + row;
  let apart = part * p.rows;
  let a = complexAt(p.x, from0);
  let b = complexAt(p.x, from0 + apart);
  if (RADIX == 2u) {
    storeComplex(p.y, to, a + b);
    storeComplex(p.y, to + step, a - b);
    return;
  }
  let c = complexAt(p.x, from0 + 2u * apart);
  let d = complexAt(p.x, from0 + 3u * apart);
  let w = group * p.stride * 2u;
  let s = a + c;
  let e = a - c;
  let u = b + d;
  // -i (b - d)
  let f = vec2f(b.y - d.y, d.x - b.x);
  storeComplex(p.y, to, s + u);
  storeComplex(p.y, to + step, times(complexAt(p.twiddles, w), e + f));
  storeComplex(p.y, to + 2u * step, times(complexAt(p.twiddles, 2u * w), s - u));
  storeComplex(p.y, to + 3u * step, times(complexAt(p.twiddles, 3u * w), e - f));
}
