//! params TensorProductParams
//! use group, attended-head, write-partials
//! const ROWS, WEIGHTS, PRODUCTS, V_UNITS, V_PASSES, V_LANES, SUMS
//! extra tiles: u32
// Attention of a few queries over one span of a cache of factors, unnormalised: see assembly/decode/tensor-product.ts for the operands.
//
//   s_h(j) = scale / (Rq Rk) sum_r' aK_jr'[h] sum_r aQ_r[h] (bQ_r bK_jr'),  o_h = sum_j p_hj / Rv sum_r aV_jr[h] bV_jr
//
// Products of row factors are made for 64 keys and one of their ranks at a time, and serve all heads. Tensor Product Attention (Zhang 2025).
//
// Workgroup: one (sequence, split, query, ROWS heads).

var<workgroup> weights: array<f32, WEIGHTS>;
// [row factors of the query, or heads][64]
var<workgroup> products: array<f32, PRODUCTS>;
// [ROWS][64] weights times head factors of one rank of the values
var<workgroup> shares: array<f32, WEIGHTS>;

fn factorOf(kind: i32, base: u32, token: i32, strideB: i32, strideT: i32, strideR: i32, r: i32, h: i32) -> f32 {
  return loadAs(kind, base, sequence.batch * strideB + token * strideT + r * strideR + h);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = groupIndex(wg, grid);
  if (index >= p.groups) { return; }
  let tile = index % p.tiles;
  let query = i32((index / p.tiles) % u32(p.queries));
  let item = index / (p.tiles * u32(p.queries));
  let split = i32(item % u32(p.splits));
  sequence = sequenceAt(item / u32(p.splits));
  let firstHead = i32(tile * ROWS);
  live = select(0u, u32(clamp(p.heads - firstHead, 0, i32(ROWS))), query < sequence.qLength);
  if (t == 0u) {
    let low = max(split * p.splitKeys, firstKey(sequence, query));
    let high = min((split + 1) * p.splitKeys, endKey(sequence, query));
    keyRange = select(vec2u(), vec2u(u32(max(low, 0)), u32(max(high, 0))), live > 0u && low < high);
  }
  let range = workgroupUniformLoad(&keyRange);

  let contracted = p.aQ != 0u;
  let queryRow = sequence.qStart + query;
  let rowsQ = select(ROWS, u32(p.rankQ), contracted);
  var factor = scoreFactor() / f32(p.rankK);
  if (contracted) { factor /= f32(p.rankQ); }
  let lanes = 128u / ROWS;
  let row = t / lanes;
  let lane = t % lanes;
  let column = t % V_LANES;
  let groups = 128u / V_LANES;
  var top = HIDDEN;
  var l = 0.0;
  var sums: array<vec4f, SUMS>;
  for (var i = 0u; i < SUMS; i++) { sums[i] = vec4f(); }
  for (var first = range.x; first < range.y; first += 64u) {
    let n = min(range.y - first, 64u);
    for (var x = t; x < WEIGHTS; x += 128u) { weights[x] = 0.0; }
    for (var r = 0; r < p.rankK; r++) {
      for (var x = t; x < rowsQ * 64u; x += 128u) {
        let j = x % 64u;
        let q = select(firstHead + i32(x / 64u), i32(x / 64u), contracted);
        var sum = 0.0;
        if (j < n && (contracted || x / 64u < live)) {
          let a = sequence.batch * p.qStrideB + queryRow * p.qStrideT + q * p.qStrideH;
          let b = sequence.batch * p.kStrideB + (sequence.kStart + i32(first + j)) * p.kStrideT + r * p.kStrideH;
          for (var c = 0; c < p.dk; c++) { sum += loadAs(p.qType, p.q, a + c) * loadAs(p.kType, p.k, b + c); }
        }
        products[x] = sum;
      }
      workgroupBarrier();
      for (var x = t; x < WEIGHTS; x += 128u) {
        let j = x % 64u;
        let h = firstHead + i32(x / 64u);
        if (j < n && x / 64u < live) {
          var product = 0.0;
          if (contracted) {
            for (var i = 0; i < p.rankQ; i++) {
              let a = factorOf(p.aQType, p.aQ, queryRow, p.aQStrideB, p.aQStrideT, p.aQStrideR, i, h);
              product += a * products[u32(i) * 64u + j];
            }
          } else {
            product = products[x];
          }
          let token = sequence.kStart + i32(first + j);
          weights[x] += product * factorOf(p.aKType, p.aK, token, p.aKStrideB, p.aKStrideT, p.aKStrideR, r, h);
        }
      }
      workgroupBarrier();
    }
    for (var x = t; x < WEIGHTS; x += 128u) {
      let j = i32(first + x % 64u);
      var score = HIDDEN;
      if (x % 64u < n && x / 64u < live && j >= firstKey(sequence, query) && j < endKey(sequence, query)) {
        score = ruledScore(sequence, firstHead + i32(x / 64u), query, j, weights[x] * factor);
      }
      weights[x] = score;
    }
    workgroupBarrier();
    var raised = top;
    for (var x = 0u; x < 64u; x++) { raised = max(raised, weights[row * 64u + x]); }
    // every row's sums shrink by the same as its l
    reduced[t] = weightOf(top, raised);
    workgroupBarrier();
    l *= reduced[t];
    for (var x = lane; x < 64u; x += lanes) {
      let weight = weightOf(weights[row * 64u + x], raised);
      weights[row * 64u + x] = weight;
      l += weight;
    }
    top = raised;
    for (var r = 0u; r < ROWS; r++) {
      for (var i = 0u; i < V_PASSES; i++) { sums[r * V_PASSES + i] *= reduced[r * lanes]; }
    }
    for (var r = 0; r < p.rankV; r++) {
      workgroupBarrier();
      for (var x = t; x < WEIGHTS; x += 128u) {
        var share = 0.0;
        if (x % 64u < n && x / 64u < live) {
          let token = sequence.kStart + i32(first + x % 64u);
          let h = firstHead + i32(x / 64u);
          share = weights[x] * factorOf(p.aVType, p.aV, token, p.aVStrideB, p.aVStrideT, p.aVStrideR, r, h) / f32(p.rankV);
        }
        shares[x] = share;
      }
      workgroupBarrier();
      for (var i = 0u; i < V_PASSES; i++) {
        let u = column + i * V_LANES;
        if (u < V_UNITS) {
          for (var j = t / V_LANES; j < n; j += groups) {
            let token = sequence.kStart + i32(first + j);
            let at = sequence.batch * p.vStrideB + token * p.vStrideT + r * p.vStrideH;
            let x = elements4(p.vType, p.v + u32(at) * bytesOfType(p.vType), i32(u) * 4, p.dv);
            for (var h = 0u; h < ROWS; h++) { sums[h * V_PASSES + i] += shares[h * 64u + j] * x; }
          }
        }
      }
    }
    workgroupBarrier();
  }
  let rowBytes = u32((p.dv + 7) & ~7) * 4u + 32u;
  let partial = item * u32(p.rows) + u32(query * p.heads + firstHead);
  writePartials(t, p.partials + partial * rowBytes, rowBytes, top, l, &sums);
}
