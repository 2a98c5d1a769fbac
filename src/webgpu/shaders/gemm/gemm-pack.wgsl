//! params GemmPackParams
//! extra count: u32
//! use group, storage
// Packs a matrix into panels of eight columns.
//
//   b      f32, f16 or bf16 [batch, k, n], or [batch, n, k] if transposed; last axis contiguous
//   bPack  f32 [batch, ceil8(n) / 8, k, 8]   columns past n zero; must not alias b
//
// Thread: four columns of one k, `count` times in all.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.count) { return; }
  let panels = (u32(p.n) + 7u) / 8u;
  let row = i / 2u;
  let panel = row / u32(p.k);
  let product = panel / panels;
  let r = i32(row - panel * u32(p.k));
  let column = i32((panel - product * panels) * 8u + (i & 1u) * 4u);
  let matrix = i32(product) * p.bStrideB;
  var x = vec4f(0.0);
  for (var j = 0; j < 4; j++) {
    let c = column + j;
    if (c < p.n) { x[j] = loadAs(p.bType, p.b, matrix + select(r * p.bStride + c, c * p.bStride + r, p.transposed != 0)); }
  }
  storeF4(p.bPack + i * 16u, x);
}
