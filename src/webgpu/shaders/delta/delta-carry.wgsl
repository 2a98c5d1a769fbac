//! params DeltaParams
//! extra first: i32, count: i32, scratch: u32
//! use group, storage, special, delta-sequence, delta-units
//! const C, C4, NT, PARTS
// The state through the chunks of a sequence: u -= w S, then S = decays S + k^T u. Parts of a unit as in `delta-units`; S goes to the unit's
// place for it before each chunk, and from stateIn or, behind the first chunks, stateOut to stateOut.
//
// Workgroup: one (sequence, head, 8 columns). Thread: four of the columns of a row of u, and of rows C apart of S: PARTS of them. Sixteen
// vectors of w or k at a time are on their way while those before are in use.

const HALVES = 2u;
const RUN = 16u;

// [PARTS C][8]
var<workgroup> state: array<vec4f, PARTS * C * HALVES>;
// [C][8]
var<workgroup> written: array<vec4f, C * HALVES>;
// (first chunk's number, chunks)
var<workgroup> chunkRange: vec2i;

// Vectors of w from column quad `quad` on of a row, and of the keys of a row of the state.
fn erasing(unit: u32, quad: u32, row: u32) -> array<vec4f, RUN> {
  var x = array<vec4f, RUN>();
  @unroll-guarded for (var n = 0u; n < 16u; n++) { x[n] = loadF4(wOf(unit) + (min(quad + n, kp() / 4u - 1u) * C + row) * 16u); }
  return x;
}
fn writing(unit: u32, quad: u32, row: u32) -> array<vec4f, RUN> {
  var x = array<vec4f, RUN>();
  @unroll-guarded for (var n = 0u; n < 16u; n++) { x[n] = loadF4(keysOf(unit) + (min(quad + n, C4 - 1u) * kp() + min(row, kp() - 1u)) * 16u); }
  return x;
}

@compute @workgroup_size(NT)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let strips = (u32(p.dv) + 7u) / 8u;
  let unitOf = group / strips;
  let n = i32(unitOf) / p.heads;
  let head = i32(unitOf) % p.heads;
  let sequence = deltaSequence(u32(n), t);
  if (t == 0u) {
    var before = n * chunksOf(p.length);
    if (p.sequences != 0u) {
      before = 0;
      for (var m = 0; m < n; m += 1) { before += chunksOf(loadI(p.sequences + u32(m) * 32u + 8u)); }
    }
    chunkRange = vec2i(before, chunksOf(sequence.length));
  }
  let range = workgroupUniformLoad(&chunkRange);
  let begin = max(range.x, p.first);
  let end = min(range.x + range.y, p.first + p.count);
  // a sequence without tokens keeps its state, once
  let idle = range.y == 0 && p.first == 0;
  if (begin >= end && !idle) { return; }

  let half = t / C;
  let row = t % C;
  let column = (group - unitOf * strips) * 8u + half * 4u;
  let there = column < u32(p.dv);
  let dv = u32(p.dv);
  var s = array<vec4f, PARTS>();
  @unroll-guarded for (var part = 0u; part < PARTS; part++) {
    let d = part * C + row;
    var x = vec4f();
    if (there && d < u32(p.dk)) {
      if (begin > range.x) {
        let at = n * p.stateStrideN + head * p.stateStrideH + i32(d) * p.stateStrideK + i32(column);
        x = loadF4(p.stateOut + u32(at) * 4u);
      } else if (p.stateIn != 0u) {
        let at = n * p.inStrideN + head * p.inStrideH + i32(d) * p.inStrideK + i32(column) * p.inStrideV;
        x = vec4f(
          loadF(p.stateIn + u32(at) * 4u), loadF(p.stateIn + u32(at + p.inStrideV) * 4u),
          loadF(p.stateIn + u32(at + 2 * p.inStrideV) * 4u), loadF(p.stateIn + u32(at + 3 * p.inStrideV) * 4u));
      }
    }
    s[part] = x;
  }
  if (!idle) {
    let runs = (kp() / 4u + RUN - 1u) / RUN;
    let last = end - 1;
    var next = erasing(unitAt(begin, head), 0u, row);
    var uNext = loadF4(unitAt(begin, head) + ((kp() + row) * dv + min(column, dv - 4u)) * 4u);
    for (var slot = begin; slot < end; slot += 1) {
      let unit = unitAt(slot, head);
      let after = unitAt(min(slot + 1, last), head);
      var decay = array<f32, PARTS>();
      @unroll-guarded for (var part = 0u; part < PARTS; part++) {
        let d = part * C + row;
        state[d * HALVES + half] = s[part];
        if (d < kp()) {
          decay[part] = loadF(decaysOf(unit) + d * 4u);
          if (there) { storeF4(unit + (d * dv + column) * 4u, s[part]); }
        }
      }
      var u = uNext;
      uNext = loadF4(after + ((kp() + row) * dv + min(column, dv - 4u)) * 4u);
      workgroupBarrier();
      for (var run = 0u; run < runs; run += 1u) {
        let w = next;
        if (run + 1u < runs) { next = erasing(unit, (run + 1u) * RUN, row); } else { next = writing(unit, 0u, row); }
        let quads = min(RUN, kp() / 4u - run * RUN);
        @unroll-guarded for (var m = 0u; m < 16u; m++) {
          if (m < quads) {
            let at = (run * RUN + m) * 4u * HALVES + half;
            u = fma(vec4f(-w[m].x), state[at], u);
            u = fma(vec4f(-w[m].y), state[at + HALVES], u);
            u = fma(vec4f(-w[m].z), state[at + 2u * HALVES], u);
            u = fma(vec4f(-w[m].w), state[at + 3u * HALVES], u);
          }
        }
      }
      written[row * HALVES + half] = u;
      if (there) {
        storeF4(unit + ((kp() + row) * dv + column) * 4u, u);
        let token = (slot - range.x) * i32(C) + i32(row);
        if (p.written != 0u && token < sequence.length) {
          let at = sequence.batch * p.writtenStrideB + (sequence.start + token) * p.writtenStrideT + head * p.writtenStrideH + i32(column);
          storeF4(p.written + u32(at) * 4u, u);
        }
      }
      workgroupBarrier();
      @unroll-guarded for (var part = 0u; part < PARTS; part++) {
        var x = s[part] * decay[part];
        let k = next;
        if (part + 1u < PARTS) { next = writing(unit, 0u, (part + 1u) * C + row); } else { next = erasing(after, 0u, row); }
        @unroll-guarded for (var m = 0u; m < C4; m++) {
          let at = m * 4u * HALVES + half;
          x = fma(vec4f(k[m].x), written[at], x);
          x = fma(vec4f(k[m].y), written[at + HALVES], x);
          x = fma(vec4f(k[m].z), written[at + 2u * HALVES], x);
          x = fma(vec4f(k[m].w), written[at + 3u * HALVES], x);
        }
        s[part] = x;
      }
    }
  }
  @unroll-guarded for (var part = 0u; part < PARTS; part++) {
    let d = part * C + row;
    if (there && d < u32(p.dk)) {
      let at = n * p.stateStrideN + head * p.stateStrideH + i32(d) * p.stateStrideK + i32(column);
      storeF4(p.stateOut + u32(at) * 4u, s[part]);
    }
  }
}
