//! params DeltaParams
//! extra first: i32, count: i32, scratch: u32
//! use group, storage, special, delta-sequence, delta-units
//! const C, NT, LOADS
// The outputs of chunks: o = left^T right, left being q and q k^T, right the state before the chunk and what its tokens wrote.
//
// Parts of a unit as in `delta-units`. Workgroup: one unit and C columns; thread: 4 x 4. Both come 16 rows at a time, the next ones being on
// their way.

const C4 = C / 4u;
const SLICE = 16u;

var<workgroup> a: array<vec4f, SLICE * C4>;
var<workgroup> b: array<vec4f, SLICE * C4>;

@compute @workgroup_size(NT)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let tiles = (u32(p.dv) + C - 1u) / C;
  let unitOf = group / tiles;
  let slot = p.first + i32(unitOf) / p.heads;
  let head = i32(unitOf) % p.heads;
  let c = deltaChunk(slot, t);
  if (c.length <= 0) { return; }
  let unit = unitAt(slot, head);
  let left = leftOf(unit);
  let dv = u32(p.dv);
  let quad0 = (group - unitOf * tiles) * C4;
  let ti = t / C4;
  let tc = t % C4;
  let depth = kp() + C;
  var x = array<vec4f, LOADS>();
  var y = array<vec4f, LOADS>();
  @unroll-guarded for (var n = 0u; n < LOADS; n++) {
    let m = t + n * NT;
    x[n] = loadF4(left + m * 16u);
    y[n] = loadF4(unit + (m / C4 * dv + min((quad0 + m % C4) * 4u, dv - 4u)) * 4u);
  }
  var o0 = vec4f();
  var o1 = vec4f();
  var o2 = vec4f();
  var o3 = vec4f();
  for (var d = 0u; d < depth; d += SLICE) {
    workgroupBarrier();
    @unroll-guarded for (var n = 0u; n < LOADS; n++) {
      a[t + n * NT] = x[n];
      b[t + n * NT] = y[n];
    }
    workgroupBarrier();
    let next = min(d + SLICE, depth - SLICE);
    @unroll-guarded for (var n = 0u; n < LOADS; n++) {
      let m = t + n * NT;
      x[n] = loadF4(left + (next * C4 + m) * 16u);
      y[n] = loadF4(unit + ((next + m / C4) * dv + min((quad0 + m % C4) * 4u, dv - 4u)) * 4u);
    }
    // tokens behind a row's own are not seen
    if (d < kp() || d - kp() <= ti * 4u + 3u) {
      @unroll-guarded for (var e = 0u; e < 16u; e++) {
        let q = a[e * C4 + ti];
        let v = b[e * C4 + tc];
        o0 = fma(vec4f(q.x), v, o0);
        o1 = fma(vec4f(q.y), v, o1);
        o2 = fma(vec4f(q.z), v, o2);
        o3 = fma(vec4f(q.w), v, o3);
      }
    }
  }
  let column = i32(quad0 + tc) * 4;
  if (column >= p.dv) { return; }
  let row = i32(ti) * 4;
  let at = p.o + u32(c.batch * p.oStrideB + (c.start + row) * p.oStrideT + head * p.oStrideH + column) * 4u;
  let step = u32(p.oStrideT) * 4u;
  if (row < c.length) { storeF4(at, o0); }
  if (row + 1 < c.length) { storeF4(at + step, o1); }
  if (row + 2 < c.length) { storeF4(at + 2u * step, o2); }
  if (row + 3 < c.length) { storeF4(at + 3u * step, o3); }
}
