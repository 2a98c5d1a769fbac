//! params DeltaParams
//! extra first: i32, count: i32, scratch: u32
//! use group, storage, special, delta-sequence, delta-units
//! const C, NT
// What a chunk writes and erases at once: T = (I + A)^-1, w = T times the rows that erase, u = T beta v. Parts of a unit as in `delta-units`.
//
// Workgroup: one unit. T is found by forward substitution, a thread for each of its columns, and takes the place of A. Then a thread has 4 x 4
// of a tile of C columns; rows that T is multiplied by come 16 at a time.

const C4 = C / 4u;
const SLICE = 16u;
// rows are padded, so that neighbouring threads meet different banks
const PITCH = C4 + 1u;

// [C][C] A, then T, turned
var<workgroup> tri: array<vec4f, C * PITCH>;
var<workgroup> slice: array<vec4f, SLICE * PITCH>;

@compute @workgroup_size(NT)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let slot = p.first + i32(group) / p.heads;
  let head = i32(group) % p.heads;
  let c = deltaChunk(slot, t);
  if (c.length <= 0) { return; }
  let unit = unitAt(slot, head);
  for (var n = t; n < C * C4; n += NT) { tri[n / C4 * PITCH + n % C4] = loadF4(unit + n * 16u); }
  workgroupBarrier();
  for (var quad = 0u; quad < C4; quad += 1u) {
    var y = vec4f();
    if (t < C) {
      let row = quad * 4u;
      y = select(vec4f(), vec4f(1.0), vec4u(row, row + 1u, row + 2u, row + 3u) == vec4u(t));
      // rows of the column above its diagonal are 0
      for (var j = t / 4u; j < quad; j += 1u) {
        let x = tri[t * PITCH + j];
        let a = j * 4u * PITCH + quad;
        y -= tri[a] * x.x + tri[a + PITCH] * x.y + tri[a + 2u * PITCH] * x.z + tri[a + 3u * PITCH] * x.w;
      }
      let a = row * PITCH + quad;
      let a0 = tri[a];
      let a1 = tri[a + PITCH];
      y.y -= a0.y * y.x;
      y.z -= a0.z * y.x + a1.z * y.y;
      y.w -= a0.w * y.x + a1.w * y.y + tri[a + 2u * PITCH].w * y.z;
    }
    workgroupBarrier();
    if (t < C) { tri[t * PITCH + quad] = y; }
  }

  let ti = t / C4;
  let tc = t % C4;
  let erasing = (kp() + C - 1u) / C;
  let tiles = erasing + (u32(p.dv) + C - 1u) / C;
  for (var tile = 0u; tile < tiles; tile += 1u) {
    let values = tile >= erasing;
    let quad0 = select(tile, tile - erasing, values) * C4;
    let quads = select(kp(), u32(p.dv), values) / 4u;
    var x0 = vec4f();
    var x1 = vec4f();
    var x2 = vec4f();
    var x3 = vec4f();
    for (var j0 = 0u; j0 < C; j0 += SLICE) {
      workgroupBarrier();
      for (var n = t; n < SLICE * C4; n += NT) {
        var x = vec4f();
        if (values) {
          let j = i32(j0 + n / C4);
          let column = quad0 + n % C4;
          if (j < c.length && column < quads) {
            let at = c.batch * p.vStrideB + (c.start + j) * p.vStrideT + head * p.vStrideH + i32(column) * 4;
            var beta = 1.0;
            if (p.weight != 0u) { beta = deltaNumber(p.weight, c.batch, c.start + j, head); }
            x = deltaFour(p.vType, p.v, at, 4) * beta;
          }
          slice[n / C4 * PITCH + n % C4] = x;
        } else {
          let column = quad0 + n / SLICE;
          if (column < quads) { x = loadF4(wOf(unit) + (column * C + j0 + n % SLICE) * 16u); }
          slice[n % SLICE * PITCH + n / SLICE] = x;
        }
      }
      workgroupBarrier();
      if (j0 <= ti * 4u + 3u) {
        @unroll-guarded for (var j = 0u; j < 16u; j++) {
          let l = tri[(j0 + j) * PITCH + ti];
          let x = slice[j * PITCH + tc];
          x0 = fma(vec4f(l.x), x, x0);
          x1 = fma(vec4f(l.y), x, x1);
          x2 = fma(vec4f(l.z), x, x2);
          x3 = fma(vec4f(l.w), x, x3);
        }
      }
    }
    let column = quad0 + tc;
    if (column < quads) {
      let row = ti * 4u;
      let at = select(wOf(unit) + (column * C + row) * 16u, unit + ((kp() + row) * u32(p.dv) + column * 4u) * 4u, values);
      let step = select(16u, u32(p.dv) * 4u, values);
      storeF4(at, x0);
      storeF4(at + step, x1);
      storeF4(at + 2u * step, x2);
      storeF4(at + 3u * step, x3);
    }
  }
}
