//! params SelfSimilarityParams
//! use group, special, storage
// How alike the rows of each block of tokens are: the mean of all cosines between them, each row with itself included.
//
//   x     f32, f16, bf16 or i8 [B, T, H, d]   any strides, last axis contiguous
//   mean  f32 [B, H, d]                       contiguous, subtracted from every row; may be absent
//   o     f32 [B, ceil(T / block), H]         contiguous; must not alias an input
//
//   o = |sum_i x_i / |x_i||^2 / n^2 = mean_ij cos(x_i, x_j) (SpargeAttn, Zhang 2025); NaN where a row is zero.
//
// Workgroup: one (batch, block, head). Four threads a row for its length, one a channel for the sum.

var<workgroup> inverses: array<f32, 64>;
var<workgroup> squares: array<f32, 256>;
var<workgroup> zeros: atomic<u32>;

fn element(batch: i32, token: i32, h: i32, c: i32) -> f32 {
  var x = loadAs(p.xType, p.x, batch * p.xStrideB + token * p.xStrideT + h * p.xStrideH + c);
  if (p.mean != 0u) { x -= loadF(p.mean + u32((batch * p.heads + h) * p.d + c) * 4u); }
  return x;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let blocks = (p.length + p.block - 1) / p.block;
  let item = i32(g) / p.heads;
  let h = i32(g) - item * p.heads;
  let batch = item / blocks;
  let first = (item - batch * blocks) * p.block;
  let end = min(first + p.block, p.length);
  if (t == 0u) { atomicStore(&zeros, 0u); }
  var own = 0.0;
  for (var c0 = 0; c0 < p.d; c0 += 256) {
    let c = c0 + i32(t);
    var sum = 0.0;
    for (var token0 = first; token0 < end; token0 += 64) {
      let token = token0 + i32(t / 4u);
      var square = 0.0;
      if (token < end) {
        for (var n = i32(t % 4u); n < p.d; n += 4) {
          let x = element(batch, token, h, n);
          square = fma(x, x, square);
        }
      }
      workgroupBarrier();
      squares[t] = square;
      workgroupBarrier();
      if (t % 4u == 0u && token < end) {
        square = squares[t] + squares[t + 1u] + squares[t + 2u] + squares[t + 3u];
        if (square > 0.0) { inverses[t / 4u] = inverseSqrt(square); } else { atomicStore(&zeros, 1u); }
      }
      workgroupBarrier();
      if (c < p.d) {
        for (var n = 0; n < min(64, end - token0); n += 1) { sum = fma(element(batch, token0 + n, h, c), inverses[n], sum); }
      }
    }
    own = fma(sum, sum, own);
  }
  workgroupBarrier();
  squares[t] = own;
  for (var step = 128u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (t < step) { squares[t] += squares[t + step]; }
  }
  if (t > 0u) { return; }
  let count = f32(end - first);
  if (atomicLoad(&zeros) != 0u) { storeU(p.o + g * 4u, NAN_BITS); } else { storeF(p.o + g * 4u, squares[0] / (count * count)); }
}
