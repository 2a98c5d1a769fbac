//! use attended-head, write-partials
//! const SERIAL, ROWS, CHUNK, Q_VECTORS, WEIGHTS, K_TYPE, K_VECTORS, K_UNITS, V_TYPE, V_VECTORS, V_UNITS, V_PASSES, V_LANES, SUMS
// Attention of ROWS query rows on keys of one head, by a workgroup of 128 threads: an online softmax over chunks of CHUNK keys, whose scores
// come before their values, so that loads do not wait for each other and a chunk costs few barriers.
//
//   scores   eight threads a key, sixteen keys side by side, four in turn: each thread has every eighth unit of 16 bytes of the key, so
//            that neighbours read neighbouring memory; products are added up through workgroup memory
//   values   V_LANES threads lie along a value row, 128 / V_LANES rows side by side, four in turn
//
// What is loaded is another part's: cache-units or code-units. Where that is long work (SERIAL) keys and values are loaded one by one.
//
// What includes it says which rows and keys: headOfRow(r), queryOfRow(r), keyOf(n), scoreOf(r, n, j, product).

var<workgroup> qs: array<vec4f, Q_VECTORS>;
var<workgroup> weights: array<f32, WEIGHTS>;
var<workgroup> keyRows: array<u32, CHUNK>;
var<workgroup> restRows: array<u32, CHUNK>;
var<workgroup> valueRows: array<u32, CHUNK>;
var<workgroup> keyScales: array<f32, CHUNK>;
var<workgroup> valueScales: array<f32, CHUNK>;
var<workgroup> factors: array<f32, ROWS>;

// Queries go to workgroup memory, scaled: vector e of unit u of row r at (r * K_VECTORS + e) * K_UNITS + u.
fn loadQueries(t: u32) {
  let factor = scoreFactor();
  for (var x = t; x < Q_VECTORS; x += 128u) {
    let u = x % K_UNITS;
    let e = (x / K_UNITS) % K_VECTORS;
    let r = x / (K_UNITS * K_VECTORS);
    var y = vec4f();
    if (r < live) {
      let row = sequence.batch * p.qStrideB + (sequence.qStart + queryOfRow(r)) * p.qStrideT + headOfRow(r) * p.qStrideH;
      y = elements4(p.qType, p.q + u32(row) * bytesOfType(p.qType), i32((u * K_VECTORS + e) * 4u), p.dk) * factor;
    }
    qs[x] = y;
  }
}

// Scores of 64 keys from `base` of the chunk on, `n` of which are there; the chunk begins with the keys' number `first`.
fn scoreKeys(first: u32, base: u32, n: u32, t: u32) {
  let slot = t >> 3u;
  let lane = t & 7u;
  let begin = base + slot;
  if (SERIAL) {
    for (var i = 0u; i < 64u; i += 16u) {
      var rest = 0u;
      if (p.kRest != 0u) { rest = restRows[begin + i]; }
      var products: array<f32, ROWS>;
      for (var r = 0u; r < ROWS; r++) { products[r] = 0.0; }
      for (var u = lane; u < K_UNITS; u += 8u) {
        var x = keyUnit(keyRows[begin + i], rest, u);
        for (var r = 0u; r < ROWS; r++) {
          for (var e = 0u; e < K_VECTORS; e++) { products[r] += dot(qs[(r * K_VECTORS + e) * K_UNITS + u], x[e]); }
        }
      }
      for (var r = 0u; r < ROWS; r++) { parts[(r * 64u + slot + i) * 9u + lane] = products[r]; }
    }
  } else {
    let k0 = keyRows[begin];
    let k1 = keyRows[begin + 16u];
    let k2 = keyRows[begin + 32u];
    let k3 = keyRows[begin + 48u];
    var r0 = 0u;
    var r1 = 0u;
    var r2 = 0u;
    var r3 = 0u;
    if (p.kRest != 0u) {
      r0 = restRows[begin];
      r1 = restRows[begin + 16u];
      r2 = restRows[begin + 32u];
      r3 = restRows[begin + 48u];
    }
    var sums: array<vec4f, ROWS>;
    for (var r = 0u; r < ROWS; r++) { sums[r] = vec4f(); }
    for (var u = lane; u < K_UNITS; u += 8u) {
      var x0 = keyUnit(k0, r0, u);
      var x1 = keyUnit(k1, r1, u);
      var x2 = keyUnit(k2, r2, u);
      var x3 = keyUnit(k3, r3, u);
      for (var r = 0u; r < ROWS; r++) {
        for (var e = 0u; e < K_VECTORS; e++) {
          let y = qs[(r * K_VECTORS + e) * K_UNITS + u];
          sums[r] += vec4f(dot(y, x0[e]), dot(y, x1[e]), dot(y, x2[e]), dot(y, x3[e]));
        }
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      let at = (r * 64u + slot) * 9u + lane;
      parts[at] = sums[r].x;
      parts[at + 144u] = sums[r].y;
      parts[at + 288u] = sums[r].z;
      parts[at + 432u] = sums[r].w;
    }
  }
  workgroupBarrier();
  for (var x = t; x < ROWS * 64u; x += 128u) {
    let r = x / 64u;
    let key = base + x % 64u;
    var score = HIDDEN;
    if (key < n && r < live) {
      var product = 0.0;
      for (var i = 0u; i < 8u; i++) { product += parts[x * 9u + i]; }
      if (K_TYPE == 3u) { product *= keyScales[key]; }
      score = scoreOf(r, first + key, keyOf(first + key), product);
    }
    weights[r * CHUNK + key] = score;
  }
  workgroupBarrier();
}

// Goes through the keys of numbers [low, high) and writes each row's o, unnormalised, then m and l at `to(r)` = out + r * stride.
fn attendKeys(low: u32, high: u32, t: u32, out: u32, stride: u32) {
  let lanes = 128u / ROWS;
  let row = t / lanes;
  let lane = t % lanes;
  let group = t / V_LANES;
  let column = t % V_LANES;
  let groups = 128u / V_LANES;
  var top = HIDDEN;
  var l = 0.0;
  var sums: array<vec4f, SUMS>;
  for (var i = 0u; i < SUMS; i++) { sums[i] = vec4f(); }
  for (var first = low; first < high; first += CHUNK) {
    let n = min(high - first, CHUNK);
    let padded = (n + 63u) & ~63u;
    for (var x = t; x < padded; x += 128u) {
      // behind the last key it is read again
      let j = keyOf(first + min(x, n - 1u));
      keyRows[x] = keyPlace(j);
      valueRows[x] = valuePlace(j);
      if (p.kRest != 0u) { restRows[x] = restRow(sequence, j); }
      if (K_TYPE == 3u) { keyScales[x] = loadF(p.kScale + scaleAt(sequence, j, kvHead)); }
      if (V_TYPE == 3u) { valueScales[x] = loadF(p.vScale + scaleAt(sequence, j, kvHead)); }
    }
    workgroupBarrier();
    for (var base = 0u; base < n; base += 64u) { scoreKeys(first, base, n, t); }

    // every thread looks at all scores of its row: that is less than the barriers of sharing the work
    var raised = top;
    for (var x = 0u; x < padded; x++) { raised = max(raised, weights[row * CHUNK + x]); }
    // the loop above has to be over before weights take the place of scores
    workgroupBarrier();
    let factor = weightOf(top, raised);
    if (lane == 0u) { factors[row] = factor; }
    top = raised;
    l *= factor;
    for (var x = lane; x < padded; x += lanes) {
      let at = row * CHUNK + x;
      var weight = weightOf(weights[at], raised);
      l += weight;
      if (V_TYPE == 3u) { weight *= valueScales[x]; }
      weights[at] = weight;
    }
    workgroupBarrier();

    for (var r = 0u; r < ROWS; r++) {
      for (var i = 0u; i < V_VECTORS * V_PASSES; i++) { sums[r * V_VECTORS * V_PASSES + i] *= factors[r]; }
    }
    for (var i = 0u; i < V_PASSES; i++) {
      let u = column + i * V_LANES;
      if (u < V_UNITS) {
        if (SERIAL) {
          for (var x = group; x < n; x += groups) {
            var y = valueUnit(valueRows[x], u);
            for (var r = 0u; r < ROWS; r++) {
              for (var e = 0u; e < V_VECTORS; e++) { sums[(r * V_PASSES + i) * V_VECTORS + e] += weights[r * CHUNK + x] * y[e]; }
            }
          }
          continue;
        }
        for (var x = group; x < n; x += groups * 4u) {
          var x0 = valueUnit(valueRows[x], u);
          var x1 = valueUnit(valueRows[x + groups], u);
          var x2 = valueUnit(valueRows[x + groups * 2u], u);
          var x3 = valueUnit(valueRows[x + groups * 3u], u);
          for (var r = 0u; r < ROWS; r++) {
            let at = r * CHUNK + x;
            let w0 = weights[at];
            let w1 = weights[at + groups];
            let w2 = weights[at + groups * 2u];
            let w3 = weights[at + groups * 3u];
            for (var e = 0u; e < V_VECTORS; e++) {
              sums[(r * V_PASSES + i) * V_VECTORS + e] += w0 * x0[e] + w1 * x1[e] + w2 * x2[e] + w3 * x3[e];
            }
          }
        }
      }
    }
    workgroupBarrier();
  }

  writePartials(t, out, stride, top, l, &sums);
}
