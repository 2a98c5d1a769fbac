//! params DeltaParams
//! use group, storage, special, delta-sequence
//! extra tokens: u32, kinds: u32, erase: u32, along: u32, gates: u32
//! const ROWS, CAPACITY, TOKENS
// The delta rule and its kin token by token, S [K, V]:
//
//   S_t = diag(e^g_t) S_{t-1} + k_t beta_t (v_t - a_t S)          S the decayed state, or S_{t-1} with `readsOld`
//   S_t = diag(e^g_t) S_{t-1} + b_t (a_t S_{t-1}) + k_t v_t       where b is there
//   o_t = scale q_t S_t
//
// Tensors as above the kernel of the same name in assembly/delta/delta.ts, with all that is optional there.
//
// Workgroup: one (sequence, head, COLUMNS columns). A thread holds 4 ROWS rows of one column; SPLIT threads share a column. Rows of up to TOKENS tokens at a
// time lie in workgroup memory, p.kinds of them for a token: k, q and, where they are there, a, b and decays, at the places p.erase, p.along
// and p.gates (0: a is k, there is no b, there are no decays of rows). What reads the old state and what reads the new one are one sum: a S
// and q S before the write, to which the write adds q k: so a token needs one barrier.

const SPLIT = 16u;
const COLUMNS = 4u;
const THREADS = 64u;
// vectors of a padded row
const WIDTH = ROWS * SPLIT;
// threads that sum up a row
const LANES = THREADS / TOKENS;

var<workgroup> rows: array<vec4f, CAPACITY>;
var<workgroup> values: array<f32, TOKENS * COLUMNS>;
// partial sums of a row's squares and products: k k, q q, q k, q b
var<workgroup> sums: array<vec4f, THREADS>;
// factors on k and on q, q k, q b; beta and the scalar decay
var<workgroup> numbers: array<vec4f, TOKENS>;
var<workgroup> strengths: array<vec2f, TOKENS>;
// a S and q S of a thread's rows, of this token and the one before
var<workgroup> reads: array<vec2f, 2u * THREADS>;

// Four elements below each other in a state, `left` of which are there; the others are 0.
fn loadDown(base: u32, at: i32, stride: i32, left: i32) -> vec4f {
  var x = vec4f();
  if (left > 0) { x.x = loadF(base + u32(at) * 4u); }
  if (left > 1) { x.y = loadF(base + u32(at + stride) * 4u); }
  if (left > 2) { x.z = loadF(base + u32(at + 2 * stride) * 4u); }
  if (left > 3) { x.w = loadF(base + u32(at + 3 * stride) * 4u); }
  return x;
}

fn storeDown(base: u32, at: i32, stride: i32, left: i32, x: vec4f) {
  if (left > 0) { storeF(base + u32(at) * 4u, x.x); }
  if (left > 1) { storeF(base + u32(at + stride) * 4u, x.y); }
  if (left > 2) { storeF(base + u32(at + 2 * stride) * 4u, x.z); }
  if (left > 3) { storeF(base + u32(at + 3 * stride) * 4u, x.w); }
}

fn stageRows(sequence: DeltaSequence, head: i32, t: u32, token: i32, count: u32) {
  for (var kind = 0u; kind < p.kinds; kind += 1u) {
    var source = deltaKeys(sequence.batch, head);
    if (kind == 1u) { source = deltaQueries(sequence.batch, head); }
    if (p.erase != 0u && kind == p.erase) { source = deltaErasers(sequence.batch, head); }
    if (p.along != 0u && kind == p.along) { source = deltaAlong(sequence.batch, head); }
    if (p.gates != 0u && kind == p.gates) { source = deltaGates(sequence.batch, head); }
    for (var i = t; i < count * WIDTH; i += THREADS) {
      let n = i / WIDTH;
      let c = i32(i - n * WIDTH) * 4;
      var row = sequence.start + token + i32(n);
      if (kind == 1u) { row = deltaOutput(row); }
      if (p.gates != 0u && kind == p.gates) { row = deltaGate(row); }
      var x = vec4f();
      if (row >= 0 && source.base != 0u) { x = deltaFour(source.kind, source.base, source.at + row * source.stride + c, p.dk - c); }
      if (p.gates != 0u && kind == p.gates) { x = vec4f(deltaDecay(x.x), deltaDecay(x.y), deltaDecay(x.z), deltaDecay(x.w)); }
      rows[kind * p.tokens * WIDTH + i] = x;
    }
  }
}

fn stageValues(sequence: DeltaSequence, head: i32, t: u32, token: i32, count: u32, column: i32) {
  for (var i = t; i < count * COLUMNS; i += THREADS) {
    let row = sequence.start + token + i32(i / COLUMNS);
    let c = column + i32(i % COLUMNS);
    var v = 0.0;
    if (c < p.dv) { v = loadAs(p.vType, p.v, sequence.batch * p.vStrideB + row * p.vStrideT + head * p.vStrideH + c); }
    values[i] = v;
  }
}

// LANES threads a token.
fn sumRows(t: u32, count: u32) {
  let n = t / LANES;
  var x = vec4f();
  if (n < count) {
    for (var i = t % LANES; i < WIDTH; i += LANES) {
      let at = n * WIDTH + i;
      let k = rows[at];
      let q = rows[p.tokens * WIDTH + at];
      x += vec4f(dot(k, k), dot(q, q), dot(q, k), 0.0);
      if (p.along != 0u) { x.w += dot(q, rows[p.along * p.tokens * WIDTH + at]); }
    }
  }
  sums[t] = x;
}

fn combine(sequence: DeltaSequence, head: i32, t: u32, token: i32, count: u32) {
  if (t >= count) { return; }
  var x = vec4f();
  for (var i = 0u; i < LANES; i += 1u) { x += sums[LANES * t + i]; }
  var kFactor = 1.0;
  var qFactor = p.scale;
  if (p.normalized != 0) {
    kFactor = 1.0 / sqrt(x.x + p.normEpsilon);
    qFactor = p.scale / sqrt(x.y + p.normEpsilon);
  }
  numbers[t] = vec4f(kFactor, qFactor, qFactor * kFactor * x.z, qFactor * x.w);
  let row = sequence.start + token + i32(t);
  var beta = 1.0;
  if (p.weight != 0u) { beta = deltaNumber(p.weight, sequence.batch, row, head); }
  var decay = 1.0;
  if (p.gateKind == 1) {
    let gate = deltaGate(row);
    let gates = deltaGates(sequence.batch, head);
    if (gate >= 0) { decay = deltaDecay(loadF(gates.base + u32(gates.at + gate * gates.stride) * 4u)); }
  }
  strengths[t] = vec2f(beta, decay);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let strips = (u32(p.dv) + COLUMNS - 1u) / COLUMNS;
  let unit = group / strips;
  let n = unit / u32(p.heads);
  let head = i32(unit - n * u32(p.heads));
  let sequence = deltaSequence(n, t);
  let first = i32((group - unit * strips) * COLUMNS);
  let split = t / COLUMNS;
  let inside = t % COLUMNS;
  let column = first + i32(inside);
  let there = column < p.dv;

  var s: array<vec4f, ROWS>;
  let inAt = i32(n) * p.inStrideN + head * p.inStrideH + column * p.inStrideV;
  for (var i = 0u; i < ROWS; i += 1u) {
    let r = i32(i * SPLIT + split) * 4;
    var x = vec4f();
    if (there && p.stateIn != 0u) { x = loadDown(p.stateIn, inAt + r * p.inStrideK, p.inStrideK, p.dk - r); }
    s[i] = x;
  }

  // vectors of all rows of one kind
  let kind = p.tokens * WIDTH;
  var into = 0u;
  for (var token = 0; token < sequence.length; token += i32(p.tokens)) {
    let count = min(p.tokens, u32(sequence.length - token));
    workgroupBarrier();
    stageRows(sequence, head, t, token, count);
    stageValues(sequence, head, t, token, count, first);
    workgroupBarrier();
    sumRows(t, count);
    workgroupBarrier();
    combine(sequence, head, t, token, count);
    workgroupBarrier();
    for (var j = 0u; j < count; j += 1u) {
      let f = numbers[j];
      let w = strengths[j];
      var read = vec4f();
      var asked = vec4f();
      for (var i = 0u; i < ROWS; i += 1u) {
        let at = j * WIDTH + i * SPLIT + split;
        let old = s[i];
        var x = old * w.y;
        if (p.gates != 0u) { x = old * rows[p.gates * kind + at]; }
        read += rows[p.erase * kind + at] * select(x, old, p.readsOld != 0);
        asked += rows[kind + at] * x;
        s[i] = x;
      }
      reads[into + t] = vec2f((read.x + read.y) + (read.z + read.w), (asked.x + asked.y) + (asked.z + asked.w));
      workgroupBarrier();
      var both = vec2f();
      for (var i = 0u; i < SPLIT; i += 1u) { both += reads[into + i * COLUMNS + inside]; }
      into = THREADS - into;
      var u = values[j * COLUMNS + inside];
      var o = f.y * both.y;
      if (p.along != 0u) {
        o += f.w * both.x;
      } else {
        u = w.x * (u - select(1.0, f.x, p.erase == 0u) * both.x);
      }
      o += f.z * u;
      for (var i = 0u; i < ROWS; i += 1u) {
        let at = j * WIDTH + i * SPLIT + split;
        s[i] += rows[at] * (f.x * u);
        if (p.along != 0u) { s[i] += rows[p.along * kind + at] * both.x; }
      }
      let row = sequence.start + token + i32(j);
      if (split == 0u && there) {
        let output = deltaOutput(row);
        if (p.o != 0u && output >= 0) {
          storeF(p.o + u32(sequence.batch * p.oStrideB + output * p.oStrideT + head * p.oStrideH + column) * 4u, o);
        }
        if (p.written != 0u) {
          let at = sequence.batch * p.writtenStrideB + row * p.writtenStrideT + head * p.writtenStrideH + column;
          storeF(p.written + u32(at) * 4u, u);
        }
      }
      if (p.snapshots != 0u && there) {
        let done = token + i32(j) + 1;
        let index = done / p.snapshotEvery;
        if (index * p.snapshotEvery == done) {
          let matrix = ((i32(n) * p.snapshotCount + index - 1) * p.heads + head) * p.dk;
          for (var i = 0u; i < ROWS; i += 1u) {
            let r = i32(i * SPLIT + split) * 4;
            storeDown(p.snapshots, (matrix + r) * p.dv + column, p.dv, p.dk - r, s[i]);
          }
        }
      }
    }
  }

  if (!there) { return; }
  let outAt = i32(n) * p.stateStrideN + head * p.stateStrideH + column * p.stateStrideV;
  for (var i = 0u; i < ROWS; i += 1u) {
    let r = i32(i * SPLIT + split) * 4;
    storeDown(p.stateOut, outAt + r * p.stateStrideK, p.stateStrideK, p.dk - r, s[i]);
  }
}
