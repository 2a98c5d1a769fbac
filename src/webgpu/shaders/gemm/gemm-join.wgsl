//! params GemmParams
//! extra partial: u32, parts: u32, products: u32
//! use group, gemm-output
// o = activation(sum of parts + bias) of what gemm-tiles leaves with SPLIT.
//
//   partial  f32 [parts, products, m, ceil4(n)]
//
// Thread: four columns of a row of o.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let vectors = (u32(p.n) + 3u) / 4u;
  let line = i / vectors;
  let product = line / u32(p.m);
  if (product >= p.products) { return; }
  var sum = vec4f(0.0);
  let size = p.products * u32(p.m) * vectors;
  for (var part = 0u; part < p.parts; part++) { sum += loadF4(p.partial + (part * size + i) * 16u); }
  let row = line - product * u32(p.m);
  storeOutput(p.o + u32(i32(product) * p.oStrideB + i32(row) * p.oStride) * 4u, (i - line * vectors) * 4u, sum);
}
