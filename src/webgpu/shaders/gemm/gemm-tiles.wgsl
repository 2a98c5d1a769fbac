//! params GemmParams
//! extra blocksM: u32, blocksN: u32, partial: u32, parts: u32, partK: i32, products: u32
//! const TILE, BUFFERS, SPLIT
//! use group, gemm-output
// Matrix product with a packed right operand: o = activation(a b + bias).
//
//   a      f32 [batch, m, k]                 any row stride, k contiguous
//   bPack  f32 [batch, ceil8(n) / 8, k, 8]   as gemmPack writes it
//   bias   f32 [n]
//   o      f32 [batch, m, n]                 any row stride; must not alias an input
//   partial  f32 [parts, batch, m, ceil4(n)]  SPLIT: sums over partK of k each, in place of o; gemm-join adds them up
//
// Wide memory takes rows of a and o that are whole vectors.
//
// Workgroup: TILE x TILE of o, 2 TILE threads of 8 x 8 elements (8 x 4 of a tile of 64, 4 x 4 of 32). Sixteen of k are in workgroup
// memory at a time, and the next sixteen on their way in registers: half of the threads load blocks of four rows and four k of a,
// which they transpose, the other half vectors of four columns of b. With two buffers a tile waits at one barrier, else at two.

const VECTORS = TILE / 4u;
const THREADS = TILE * 2u;
// vectors of rows and of columns that a thread takes
const ROWS = select(1u, 2u, TILE >= 64u);
const COLUMNS = select(1u, 2u, TILE >= 128u);

// [k][vector of rows or columns]; vectors of rows change places with k, so that a transposed block is stored without conflicts
var<workgroup> tileA: array<vec4f, BUFFERS * 16u * VECTORS>;
var<workgroup> tileB: array<vec4f, BUFFERS * 16u * VECTORS>;

fn putRow(o: u32, stride: u32, row: u32, c: u32, x: vec4f) {
  if (row >= u32(p.m) || c >= u32(p.n)) { return; }
  if (SPLIT) { storeSome(o + row * stride + c * 4u, x, 4); } else { storeOutput(o + row * stride, c, x); }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let column = group / p.blocksM;
  let m0 = (group - column * p.blocksM) * TILE;
  let part = column / p.blocksN;
  let n0 = (column - part * p.blocksN) * TILE;
  let product = part / p.parts;
  let slice = part - product * p.parts;
  let k0 = i32(slice) * p.partK;
  let k = min(p.k - k0, p.partK);

  // what this thread loads: four vectors, how many elements of k are left for each, and how far it goes on
  var at: vec4u;
  var left: vec4i;
  let loadsA = t < TILE;
  let quarter = t & 3u;
  let block = (t % TILE) >> 2u;
  if (loadsA) {
    let a = p.a + u32(i32(product) * p.aStrideB + k0) * 4u + quarter * 16u;
    let rows = min(vec4u(m0 + block * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(u32(p.m) - 1u));
    at = vec4u(a) + rows * (u32(p.aStride) * 4u);
    left = vec4i(k - i32(quarter * 4u));
  } else {
    let b = p.bPack + u32(i32(product) * p.bStrideB) * 4u;
    let e = vec4u(t - TILE) + vec4u(0u, 1u, 2u, 3u) * TILE;
    let within = (e >> vec4u(3u)) & vec4u(15u);
    let panel = min(vec4u(n0 / 8u) + ((e >> vec4u(1u)) & vec4u(3u)) + (e >> vec4u(7u)) * 4u, vec4u((u32(p.n) + 7u) / 8u - 1u));
    at = vec4u(b) + (panel * u32(p.k) + u32(k0) + within) * 32u + (e & vec4u(1u)) * 16u;
    left = (k - vec4i(within)) * 4;
  }
  let step = select(512u, 64u, loadsA);
  let fewer = select(64, 16, loadsA);

  // t's place: eight threads beside each other read neighbouring vectors of b, the four rows of them one vector of a each
  let tx = select((t & 7u) | ((t >> 2u) & 8u), t & 7u, TILE == 32u);
  let ty = select(((t >> 3u) & 3u) | ((t >> 6u) << 2u), t >> 3u, TILE == 32u);

  // rows 0-3 (a0) and 4-7 (a1) of the thread, columns 0-3 (b0) and 4-7 (b1)
  var c00 = vec4f(0.0);
  var c01 = vec4f(0.0);
  var c02 = vec4f(0.0);
  var c03 = vec4f(0.0);
  var c10 = vec4f(0.0);
  var c11 = vec4f(0.0);
  var c12 = vec4f(0.0);
  var c13 = vec4f(0.0);
  var d00 = vec4f(0.0);
  var d01 = vec4f(0.0);
  var d02 = vec4f(0.0);
  var d03 = vec4f(0.0);
  var d10 = vec4f(0.0);
  var d11 = vec4f(0.0);
  var d12 = vec4f(0.0);
  var d13 = vec4f(0.0);

  var g0 = loadSome(at.x, left.x);
  var g1 = loadSome(at.y, left.y);
  var g2 = loadSome(at.z, left.z);
  var g3 = loadSome(at.w, left.w);
  var buffer = 0u;
  for (var done = 0; done < k; done += 16) {
    if (BUFFERS == 1u) { workgroupBarrier(); }
    if (loadsA) {
      let to = buffer + quarter * 4u * VECTORS + (block ^ (quarter * 2u));
      tileA[to] = vec4f(g0.x, g1.x, g2.x, g3.x);
      tileA[to + VECTORS] = vec4f(g0.y, g1.y, g2.y, g3.y);
      tileA[to + 2u * VECTORS] = vec4f(g0.z, g1.z, g2.z, g3.z);
      tileA[to + 3u * VECTORS] = vec4f(g0.w, g1.w, g2.w, g3.w);
    } else {
      let e = vec4u(t - TILE) + vec4u(0u, 1u, 2u, 3u) * TILE;
      let to = vec4u(buffer) + ((e >> vec4u(3u)) & vec4u(15u)) * VECTORS + (e & vec4u(7u)) + (e >> vec4u(7u)) * 8u;
      tileB[to.x] = g0;
      tileB[to.y] = g1;
      tileB[to.z] = g2;
      tileB[to.w] = g3;
    }
    workgroupBarrier();
    at += vec4u(step);
    left -= vec4i(fewer);
    g0 = loadSome(at.x, left.x);
    g1 = loadSome(at.y, left.y);
    g2 = loadSome(at.z, left.z);
    g3 = loadSome(at.w, left.w);
    // four of k at a time are enough for a loop: more would only be more text for compilers
    let quarters = u32(min(4, (k - done + 3) / 4));
    for (var q = 0u; q < quarters; q++) {
      let line = buffer + q * 4u * VECTORS;
      let lineA0 = line + (ty ^ (q * 2u));
      let lineA1 = line + ((ty + VECTORS / 2u) ^ (q * 2u));
      let lineB = line + tx;
      @unroll-guarded for (var i = 0u; i < 4u; i++) {
        let a0 = tileA[lineA0 + i * VECTORS];
        let b0 = tileB[lineB + i * VECTORS];
        c00 = fma(vec4f(a0.x), b0, c00);
        c01 = fma(vec4f(a0.y), b0, c01);
        c02 = fma(vec4f(a0.z), b0, c02);
        c03 = fma(vec4f(a0.w), b0, c03);
        if (ROWS == 2u) {
          let a1 = tileA[lineA1 + i * VECTORS];
          c10 = fma(vec4f(a1.x), b0, c10);
          c11 = fma(vec4f(a1.y), b0, c11);
          c12 = fma(vec4f(a1.z), b0, c12);
          c13 = fma(vec4f(a1.w), b0, c13);
          if (COLUMNS == 2u) {
            let b1 = tileB[lineB + i * VECTORS + VECTORS / 2u];
            d00 = fma(vec4f(a0.x), b1, d00);
            d01 = fma(vec4f(a0.y), b1, d01);
            d02 = fma(vec4f(a0.z), b1, d02);
            d03 = fma(vec4f(a0.w), b1, d03);
            d10 = fma(vec4f(a1.x), b1, d10);
            d11 = fma(vec4f(a1.y), b1, d11);
            d12 = fma(vec4f(a1.z), b1, d12);
            d13 = fma(vec4f(a1.w), b1, d13);
          }
        }
      }
    }
    if (BUFFERS == 2u) { buffer = 16u * VECTORS - buffer; }
  }

  var o = p.o + u32(i32(product) * p.oStrideB) * 4u;
  var stride = u32(p.oStride) * 4u;
  if (SPLIT) {
    stride = ((u32(p.n) + 3u) & ~3u) * 4u;
    o = p.partial + (slice * p.products + product) * u32(p.m) * stride;
  }
  // one text for all pieces of the output: its bound is no constant
  var pieces = array<vec4f, 16>(c00, c01, c02, c03, c10, c11, c12, c13, d00, d01, d02, d03, d10, d11, d12, d13);
  let row = m0 + ty * 4u;
  let c = n0 + tx * 4u;
  for (var i = 0u; i < min(4u * ROWS * COLUMNS, p.groups * 4u * ROWS * COLUMNS); i++) {
    putRow(o, stride, row + (i & 3u) + ((i >> 2u) & 1u) * (TILE / 2u), c + (i >> 3u) * (TILE / 2u), pieces[i]);
  }
}
