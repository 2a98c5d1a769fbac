//! params PolynomialParams
//! extra rows: u32, threads: u32
//! use group, feature-row
// Monomials of each row: a constant, constant-factor multiples of x, of its squares, and of products x_i x_j, each part where the
// params place it.
//
//   x  f32 [B, T, H, d]  any strides, last axis contiguous
//   o  f32 [B, T, H, F]  contiguous; must not alias x
//
// Thread: one of 1 + 2 d + d^2 monomials of a row, those that are absent counted in, so that none has to find its pair by a root.
// Arora 2024 (Based), Aksenov 2024 (ReBased), Xu 2024 (QT-ViT).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let n = groupIndex(wg, grid) * 256u + t;
  let row = n / p.threads;
  let c = n - row * p.threads;
  if (row >= p.rows) { return; }
  let d = u32(p.d);
  let x = inputRow(row);
  let o = featureRow(row);
  if (c == 0u) {
    if (p.constantAt >= 0) { storeF(o + u32(p.constantAt) * 4u, p.constant); }
  } else if (c <= d) {
    if (p.linearAt >= 0) { storeF(o + (u32(p.linearAt) + c - 1u) * 4u, p.linear * loadF(x + (c - 1u) * 4u)); }
  } else if (c <= 2u * d) {
    let y = loadF(x + (c - 1u - d) * 4u);
    if (p.squareAt >= 0) { storeF(o + (u32(p.squareAt) + c - 1u - d) * 4u, y * y * p.square); }
  } else {
    let pair = c - 1u - 2u * d;
    let i = pair / d;
    let j = pair - i * d;
    let full = p.full != 0;
    if (full || i < j) {
      let place = select(i * d - i * (i + 1u) / 2u + j - i - 1u, pair, full);
      storeF(o + (u32(p.productAt) + place) * 4u, loadF(x + j * 4u) * (p.product * loadF(x + i * 4u)));
    }
  }
}
