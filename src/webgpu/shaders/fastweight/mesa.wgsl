//! params MesaParams
//! extra scratch: u32, groupBytes: u32, stride: u32
//! use group, sequence, storage
//! const STATES, ROWS_SHARED, ROWS, STATE_SHARED, STATE
// MesaNet: x_t = (H_kk,t + diag lamb)^-1 q_t by conjugate gradients, o_t = x_t H_kv,t; STATES: only the states before segments.
//
//   tensors as of the kernels mesa and mesaStates
//
// Workgroup: one (sequence, segment, head), or (STATES) one (sequence, head). The systems of TOKENS tokens are solved together:
// a product with all H_t is one with the state before them and one with their keys. A row of the tokens has 16 threads; each of
// them finds the numbers of its row for itself. All is in vectors of four: rows of tokens [TOKENS][stride] (keys, values,
// solutions, residuals, directions, products), states [dk to whole vectors][columns to whole vectors]. Rows and H_kk lie in the
// workgroup's memory where they fit, all else in scratch: [H_kk][H_kv][rows].

const TOKENS = 16u;
const LEAST_SQUARE = 1e-24;

var<workgroup> rowsShared: array<vec4f, ROWS>;
var<workgroup> stateShared: array<vec4f, STATE>;
var<workgroup> sequenceWords: array<vec4i, 2>;
var<workgroup> gates: array<f32, 16>;
var<workgroup> betas: array<f32, 16>;
var<workgroup> faded: array<f32, 16>;
// beta_j times the decay from token j to t, 0 behind t; the same times products of a row with keys
var<workgroup> decays: array<f32, 256>;
var<workgroup> weights: array<f32, 256>;
var<workgroup> busy: array<u32, 2>;

var<private> stateAt: u32;
var<private> rowsAt: u32;
var<private> batch: i32;
var<private> head: i32;

fn row4(i: u32) -> vec4f {
  if (ROWS_SHARED) { return rowsShared[i]; }
  return loadF4(rowsAt + i * 16u);
}

fn setRow4(i: u32, x: vec4f) {
  if (ROWS_SHARED) { rowsShared[i] = x; } else { storeF4(rowsAt + i * 16u, x); }
}

fn columnsK() -> u32 { return (u32(p.dk) + 3u) / 4u; }
fn columnsV() -> u32 { return (u32(p.dv) + 3u) / 4u; }
fn vectorsK() -> u32 { return columnsK() * 4u * columnsK(); }

// Vector i of H_kk or, behind its vectors, of H_kv.
fn state4(i: u32) -> vec4f {
  if (STATE_SHARED && i < vectorsK()) { return stateShared[min(i, STATE - 1u)]; }
  return loadF4(stateAt + i * 16u);
}

fn setState4(i: u32, x: vec4f) {
  if (STATE_SHARED && i < vectorsK()) { stateShared[min(i, STATE - 1u)] = x; } else { storeF4(stateAt + i * 16u, x); }
}

fn rowsOf(kind: u32) -> u32 { return kind * TOKENS * p.stride; }

fn syncRows() {
  workgroupBarrier();
  if (!ROWS_SHARED) { storageBarrier(); }
}

fn quadAs(kind: i32, base: u32, element: i32, c: u32, n: u32) -> vec4f {
  var x: array<f32, 4>;
  for (var i = 0u; i < 4u; i += 1u) { x[i] = loadAs(kind, base, element + i32(min(c + i, n - 1u))); }
  return select(vec4f(), vec4f(x[0], x[1], x[2], x[3]), vec4u(c, c + 1u, c + 2u, c + 3u) < vec4u(n));
}

// The state that a segment starts from, or what it leaves: [dk][dk] and [dk][dv] at addresses of which 0 stands for zeros.
fn moveStates(kk: u32, kv: u32, stores: bool, t: u32) {
  let wide = columnsK() + columnsV();
  for (var i = t; i < columnsK() * 4u * wide; i += 256u) {
    let row = i / wide;
    let column = i - row * wide;
    let values = column >= columnsK();
    let n = u32(select(p.dk, p.dv, values));
    let c = select(column, column - columnsK(), values) * 4u;
    let at = select(row * columnsK() + column, vectorsK() + row * columnsV() + column - columnsK(), values);
    let base = select(kk, kv, values);
    if (stores) {
      let x = state4(at);
      if (row < u32(p.dk)) { for (var e = 0u; e < min(4u, n - c); e += 1u) { storeF(base + (row * n + c + e) * 4u, x[e]); } }
    } else {
      var x = vec4f();
      if (base != 0u && row < u32(p.dk)) { x = quadAs(0, base + row * n * 4u, 0, c, n); }
      setState4(at, x);
    }
  }
}

// Keys, values and gates of a chunk; rows behind the last are zeros.
fn loadChunk(token: i32, count: u32, t: u32) {
  for (var i = t; i < TOKENS * p.stride; i += 256u) {
    let row = i / p.stride;
    let c = (i - row * p.stride) * 4u;
    let time = token + i32(row);
    var k = vec4f();
    var v = vec4f();
    if (row < count) {
      if (c < u32(p.dk)) { k = quadAs(p.kType, p.k, batch * p.kStrideB + time * p.kStrideT + head * p.kStrideH, c, u32(p.dk)); }
      if (c < u32(p.dv)) { v = quadAs(p.vType, p.v, batch * p.vStrideB + time * p.vStrideT + head * p.vStrideH, c, u32(p.dv)); }
    }
    setRow4(rowsOf(0u) + i, k);
    setRow4(rowsOf(1u) + i, v);
  }
  if (t < TOKENS) {
    var gate = 1.0;
    var beta = 0.0;
    if (t < count) {
      let time = token + i32(t);
      if (p.g != 0u) { gate = exp(clamp(loadF(p.g + u32(batch * p.gStrideB + time * p.gStrideT + head * p.gStrideH) * 4u), -200.0, 88.0)); }
      beta = loadF(p.beta + u32(batch * p.betaStrideB + time * p.betaStrideT + head * p.betaStrideH) * 4u);
    }
    gates[t] = gate;
    betas[t] = beta;
  }
}

// Products of decays, not differences of their logarithms: exact for any gate.
fn findDecays(t: u32) {
  let i = t >> 4u;
  let j = t & 15u;
  var decay = 0.0;
  if (j <= i) {
    decay = betas[j];
    for (var s = j + 1u; s <= i; s += 1u) { decay *= gates[s]; }
  }
  decays[t] = decay;
  if (j == 0u) {
    var all = 1.0;
    for (var s = 0u; s <= i; s += 1u) { all *= gates[s]; }
    faded[i] = all;
  }
}

// Both states after a chunk.
fn advance(count: u32, t: u32) {
  let wide = columnsK() + columnsV();
  let decay = faded[count - 1u];
  for (var i = t; i < columnsK() * wide; i += 256u) {
    let quad = i / wide;
    let column = i - quad * wide;
    let values = column >= columnsK();
    let c = select(column, column - columnsK(), values);
    var a0 = vec4f();
    var a1 = vec4f();
    var a2 = vec4f();
    var a3 = vec4f();
    for (var j = 0u; j < count; j += 1u) {
      let key = row4(rowsOf(0u) + j * p.stride + quad) * decays[(count - 1u) * 16u + j];
      let x = row4(select(rowsOf(0u), rowsOf(1u), values) + j * p.stride + c);
      a0 += key.x * x;
      a1 += key.y * x;
      a2 += key.z * x;
      a3 += key.w * x;
    }
    for (var e = 0u; e < 4u; e += 1u) {
      let row = quad * 4u + e;
      let at = select(row * columnsK() + c, vectorsK() + row * columnsV() + c, values);
      let sum = select(select(a0, a1, e == 1u), select(a2, a3, e == 3u), e > 1u);
      setState4(at, decay * state4(at) + sum);
    }
  }
}

// weights of a row of `rows` with the keys.
fn scoreKeys(rows: u32, t: u32) {
  let i = t >> 4u;
  let j = t & 15u;
  var sum = vec4f();
  if (j <= i) {
    for (var k = 0u; k < columnsK(); k += 1u) { sum += row4(rows + i * p.stride + k) * row4(rowsOf(0u) + j * p.stride + k); }
  }
  weights[t] = dot(sum, vec4f(1.0)) * decays[t];
}

// Column c of two rows of a product with the state that begins at vector `state`, and with the chunk's rows up to each.
struct Two { a: vec4f, b: vec4f }

fn product(rows: u32, pair: u32, state: u32, columns: u32, right: u32, c: u32) -> Two {
  var a = vec4f();
  var b = vec4f();
  let first = rows + pair * 2u * p.stride;
  for (var k = 0u; k < columnsK(); k += 1u) {
    let x = row4(first + k);
    let y = row4(first + p.stride + k);
    let at = state + k * 4u * columns + c;
    let s0 = state4(at);
    let s1 = state4(at + columns);
    let s2 = state4(at + 2u * columns);
    let s3 = state4(at + 3u * columns);
    a += x.x * s0 + x.y * s1 + x.z * s2 + x.w * s3;
    b += y.x * s0 + y.y * s1 + y.z * s2 + y.w * s3;
  }
  a *= faded[pair * 2u];
  b *= faded[pair * 2u + 1u];
  // weights behind a row's own key are zero
  for (var j = 0u; j < min(pair * 2u + 2u, TOKENS); j += 1u) {
    let x = row4(right + j * p.stride + c);
    a += weights[pair * 32u + j] * x;
    b += weights[pair * 32u + 16u + j] * x;
  }
  return Two(a, b);
}

fn rowDot(x: u32, y: u32) -> f32 {
  var sum = vec4f();
  for (var k = 0u; k < columnsK(); k += 1u) { sum += row4(x + k) * row4(y + k); }
  return dot(sum, vec4f(1.0));
}

fn lambAt(c: u32) -> vec4f { return quadAs(0, p.lamb + u32(head * p.dk) * 4u, 0, c, u32(p.dk)); }

// Solves the systems of a chunk and writes its outputs.
fn solve(token: i32, count: u32, t: u32) {
  let dk = u32(p.dk);
  let row = t >> 4u;
  let lane = t & 15u;
  let own = row * p.stride;
  let x = rowsOf(2u) + own;
  let r = rowsOf(3u) + own;
  let direction = rowsOf(4u) + own;
  let hp = rowsOf(5u) + own;
  let time = token + i32(row);
  let q = batch * p.qStrideB + time * p.qStrideT + head * p.qStrideH;
  // squares of very large or small numbers would leave the range: rows are in units of a power of two near their size
  var largest = vec4f();
  if (row < count) { for (var c = 0u; c < dk; c += 4u) { largest = max(largest, abs(quadAs(p.qType, p.q, q, c, dk))); } }
  let exponent = bitcast<u32>(max(max(largest.x, largest.y), max(largest.z, largest.w))) & 0x7f800000u;
  let unit = select(1.0, bitcast<f32>(exponent), exponent > 0x04000000u && exponent < 0x7a000000u);
  for (var k = lane; k < columnsK(); k += 16u) {
    var given = vec4f();
    if (row < count) { given = quadAs(p.qType, p.q, q, k * 4u, dk) / unit; }
    setRow4(r + k, given);
    var start = vec4f();
    var first = given;
    if (p.jacobi != 0 && row < count) {
      var diagonal = vec4f();
      for (var e = 0u; e < 4u; e += 1u) {
        let element = k * 4u + e;
        diagonal[e] = select(0.0, faded[row] * state4(element * columnsK() + k)[e], element < dk);
      }
      for (var j = 0u; j <= row; j += 1u) {
        let key = row4(rowsOf(0u) + j * p.stride + k);
        diagonal += decays[row * 16u + j] * key * key;
      }
      let whole = vec4u(k * 4u, k * 4u + 1u, k * 4u + 2u, k * 4u + 3u) < vec4u(dk);
      start = given / select(vec4f(1.0), diagonal + lambAt(k * 4u), whole);
      first = start;
    }
    setRow4(x + k, start);
    setRow4(direction + k, first);
  }
  if (t < 2u) { busy[t] = 0u; }
  syncRows();
  var square = rowDot(r, r);
  let limit = max(p.tolerance * p.tolerance, LEAST_SQUARE) * square;
  var active_ = row < count && square > limit;
  var starting = p.jacobi != 0;
  let rounds = u32(p.maxIterations) + u32(p.jacobi);
  for (var round = 0u; round < rounds; round += 1u) {
    scoreKeys(rowsOf(4u), t);
    if (active_) { busy[round & 1u] = 1u; }
    workgroupBarrier();
    for (var i = t; i < TOKENS / 2u * columnsK(); i += 256u) {
      let pair = i / columnsK();
      let c = i - pair * columnsK();
      let lamb = lambAt(c * 4u);
      let at = pair * 2u * p.stride + c;
      let sums = product(rowsOf(4u), pair, 0u, columnsK(), rowsOf(0u), c);
      setRow4(rowsOf(5u) + at, sums.a + lamb * row4(rowsOf(4u) + at));
      setRow4(rowsOf(5u) + at + p.stride, sums.b + lamb * row4(rowsOf(4u) + at + p.stride));
    }
    let any = workgroupUniformLoad(&busy[round & 1u]);
    if (!ROWS_SHARED) { storageBarrier(); }
    if (any == 0u) { break; }
    if (t == 0u) { busy[1u - (round & 1u)] = 0u; }
    let curvature = rowDot(direction, hp);
    let descends = !starting && active_ && curvature > 0.0;
    active_ = active_ && (starting || curvature > 0.0);
    var alpha = 0.0;
    if (starting) { alpha = 1.0; } else if (descends) { alpha = square / curvature; }
    if (starting || descends) {
      for (var k = lane; k < columnsK(); k += 16u) {
        if (!starting) { setRow4(x + k, row4(x + k) + alpha * row4(direction + k)); }
        setRow4(r + k, row4(r + k) - alpha * row4(hp + k));
      }
    }
    syncRows();
    let after = rowDot(r, r);
    if (starting || descends) {
      let turn = select(after / square, 0.0, starting);
      square = after;
      active_ = active_ && after > limit;
      if (active_) {
        for (var k = lane; k < columnsK(); k += 16u) { setRow4(direction + k, row4(r + k) + turn * row4(direction + k)); }
      }
    }
    starting = false;
    syncRows();
  }
  scoreKeys(rowsOf(2u), t);
  // units for the threads that write rows of others
  if (lane == 0u) { betas[row] = unit; }
  workgroupBarrier();
  for (var i = t; i < TOKENS / 2u * columnsV(); i += 256u) {
    let pair = i / columnsV();
    let c = i - pair * columnsV();
    let sums = product(rowsOf(2u), pair, vectorsK(), columnsV(), rowsOf(1u), c);
    for (var e = 0u; e < 2u; e += 1u) {
      let out = select(sums.a, sums.b, e == 1u) * betas[pair * 2u + e];
      let to = batch * p.oStrideB + (token + i32(pair * 2u + e)) * p.oStrideT + head * p.oStrideH + i32(c * 4u);
      if (pair * 2u + e < count) {
        for (var n = 0u; n < min(4u, u32(p.dv) - c * 4u); n += 1u) { storeF(p.o + (u32(to) + n) * 4u, out[n]); }
      }
    }
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  if (t == 0u) {
    var index = group / u32(p.heads);
    if (!STATES) { index = sequenceOfItem(i32(group)); }
    let given = sequenceAt(index);
    sequenceWords[0] = vec4i(given.batch, given.qStart, given.qLength, given.firstItem);
    sequenceWords[1] = vec4i(i32(index), 0, 0, 0);
  }
  let words = workgroupUniformLoad(&sequenceWords);
  batch = words[0].x;
  let length = words[0].z;
  let index = u32(words[1].x);
  var segment = 0;
  if (STATES) {
    head = i32(group - index * u32(p.heads));
  } else {
    let local = i32(group) - words[0].w;
    segment = local / p.heads;
    head = local - segment * p.heads;
  }
  stateAt = p.scratch + group * p.groupBytes;
  rowsAt = stateAt + (vectorsK() + columnsK() * 4u * columnsV()) * 16u;
  let sizeK = u32(p.dk * p.dk) * 4u;
  let sizeV = u32(p.dk * p.dv) * 4u;
  let state = index * u32(p.heads) + u32(head);
  var kk = select(0u, p.kkIn + state * sizeK, p.kkIn != 0u);
  var kv = select(0u, p.kvIn + state * sizeV, p.kvIn != 0u);
  if (segment > 0) {
    kk = p.segmentStates + group * (sizeK + sizeV);
    kv = kk + sizeK;
  }
  moveStates(kk, kv, false, t);
  var stop = min(length, (segment + 1) * p.segment);
  if (STATES) { stop = (max(length - 1, 0) / p.segment) * p.segment; }
  for (var t0 = segment * p.segment; t0 < stop; t0 += i32(TOKENS)) {
    let count = u32(min(i32(TOKENS), stop - t0));
    workgroupBarrier();
    storageBarrier();
    loadChunk(words[0].y + t0, count, t);
    syncRows();
    findDecays(t);
    workgroupBarrier();
    if (!STATES) {
      solve(words[0].y + t0, count, t);
      workgroupBarrier();
    }
    advance(count, t);
    let behind = t0 + i32(TOKENS);
    if (STATES && behind % p.segment == 0) {
      workgroupBarrier();
      storageBarrier();
      let item = u32(words[0].w + (behind / p.segment) * p.heads + head);
      let to = p.segmentStates + item * (sizeK + sizeV);
      moveStates(to, to + sizeK, true, t);
    }
  }
  if (!STATES && stop == length) {
    workgroupBarrier();
    storageBarrier();
    moveStates(p.kkOut + state * sizeK, p.kvOut + state * sizeV, true, t);
  }
}
