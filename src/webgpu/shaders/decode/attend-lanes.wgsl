//! use attended-head
//! enable subgroups
//! const ROWS, K_TYPE, K_VECTORS, K_UNITS, V_TYPE, V_VECTORS, V_UNITS, LANES, KEYS
// Attention of ROWS query rows on keys of one head, by a workgroup of 128 threads: as attend-keys, where rows are whole units of 16 bytes
// and at most as many as a subgroup has threads. LANES neighbouring threads have one unit of a row each; KEYS keys and values
// of a run of lanes are on their way at once, and nobody waits for the others until the end. A part keeps the queries: keepQuery, productOf.

const SLOTS = 128u / LANES;

var<workgroup> tops: array<f32, SLOTS * ROWS>;
var<workgroup> totals: array<f32, SLOTS * ROWS>;
var<workgroup> shares: array<vec4f, 128>;

fn prepareUnits(number: u32) {}

fn loadQueries(t: u32) {
  let lane = t % LANES;
  let factor = scoreFactor();
  @unroll for (var r = 0u; r < ROWS; r++) {
    var x = array<vec4f, K_VECTORS>();
    if (r < live && lane < K_UNITS) {
      let row = sequence.batch * p.qStrideB + (sequence.qStart + queryOfRow(r)) * p.qStrideT + headOfRow(r) * p.qStrideH;
      let base = p.q + u32(row) * bytesOfType(p.qType);
      @unroll for (var e = 0u; e < K_VECTORS; e++) {
        x[e] = elements4(p.qType, base, i32((lane * K_VECTORS + e) * 4u), p.dk) * factor;
      }
    }
    keepQuery(r, x);
  }
}

// Without a branch around the load: what is merged behind one has to have arrived.
fn keyUnit(j: i32, lane: u32) -> vec4u {
  let own = u32(p.dk - p.kRestDim) / (4u * K_VECTORS);
  let u = min(lane, K_UNITS - 1u);
  var at = keyRow(sequence, j, kvHead) + u * 16u;
  if (p.kRest != 0u) { at = select(at, restRow(sequence, j) + (u - own) * 16u, u >= own); }
  return loadU4(at);
}

fn vectorOf(kind: u32, x: vec4u, e: u32) -> vec4f {
  switch kind {
    case 0u: { return bitcast<vec4f>(x); }
    case 1u: { return halves(x[e * 2u], x[e * 2u + 1u]); }
    case 2u: { return bfloats(x[e * 2u], x[e * 2u + 1u]); }
    default: { return bytes4(x[e]); }
  }
}

fn sumOfLanes(x: f32) -> f32 {
  var y = x;
  for (var b = 1u; b < LANES; b = b << 1u) { y += subgroupShuffleXor(y, b); }
  return y;
}

// Goes through the keys of numbers [low, high) and writes each row's o, unnormalised, then m and l at out + r * stride.
fn attendKeys(low: u32, high: u32, t: u32, out: u32, stride: u32) {
  let lane = t % LANES;
  let slot = t / LANES;
  var top: array<f32, ROWS>;
  var l: array<f32, ROWS>;
  var sums: array<array<vec4f, V_VECTORS>, ROWS>;
  @unroll for (var r = 0u; r < ROWS; r++) {
    top[r] = HIDDEN;
  }
  for (var first = low; first < high; first += SLOTS * KEYS) {
    var keys = array<vec4u, KEYS>();
    var values = array<vec4u, KEYS>();
    var kScales = array<f32, KEYS>();
    var vScales = array<f32, KEYS>();
    @unroll for (var i = 0u; i < KEYS; i++) {
      // behind the last key it is read again
      let j = keyOf(min(first + i * SLOTS + slot, high - 1u));
      keys[i] = keyUnit(j, lane);
      values[i] = loadU4(valueRow(sequence, j, kvHead) + min(lane, V_UNITS - 1u) * 16u);
      if (K_TYPE == 3u) { kScales[i] = loadF(p.kScale + scaleAt(sequence, j, kvHead)); }
      if (V_TYPE == 3u) { vScales[i] = loadF(p.vScale + scaleAt(sequence, j, kvHead)); }
    }
    @unroll for (var r = 0u; r < ROWS; r++) {
      var scores = array<f32, KEYS>();
      var raised = top[r];
      @unroll for (var i = 0u; i < KEYS; i++) {
        var product = sumOfLanes(productOf(r, keys[i]));
        if (K_TYPE == 3u) { product *= kScales[i]; }
        let n = first + i * SLOTS + slot;
        scores[i] = HIDDEN;
        if (n < high && r < live) {
          scores[i] = scoreOf(r, n, keyOf(n), product);
        }
        raised = max(raised, scores[i]);
      }
      let factor = weightOf(top[r], raised);
      top[r] = raised;
      l[r] *= factor;
      @unroll for (var e = 0u; e < V_VECTORS; e++) {
        sums[r][e] *= factor;
      }
      @unroll for (var i = 0u; i < KEYS; i++) {
        var weight = weightOf(scores[i], raised);
        l[r] += weight;
        // what no row looks at may have any scale
        if (V_TYPE == 3u) { weight = select(0.0, weight * vScales[i], weight != 0.0); }
        @unroll for (var e = 0u; e < V_VECTORS; e++) {
          sums[r][e] += weight * vectorOf(V_TYPE, values[i], e);
        }
      }
    }
  }

  for (var r = 0u; r < ROWS; r++) {
    if (lane == 0u) {
      tops[slot * ROWS + r] = top[r];
      totals[slot * ROWS + r] = l[r];
    }
  }
  workgroupBarrier();
  for (var r = 0u; r < ROWS; r++) {
    var highest = HIDDEN;
    for (var n = 0u; n < SLOTS; n++) { highest = max(highest, tops[n * ROWS + r]); }
    var total = 0.0;
    for (var n = 0u; n < SLOTS; n++) { total += totals[n * ROWS + r] * weightOf(tops[n * ROWS + r], highest); }
    let factor = weightOf(top[r], highest);
    for (var e = 0u; e < V_VECTORS; e++) {
      workgroupBarrier();
      shares[t] = sums[r][e] * factor;
      workgroupBarrier();
      if (t < V_UNITS && r < live) {
        var sum = vec4f();
        for (var n = 0u; n < SLOTS; n++) { sum += shares[n * LANES + t]; }
        storeF4(out + r * stride + (t * V_VECTORS + e) * 16u, sum);
      }
    }
    if (t == 0u && r < live) { storeF4(out + r * stride + u32((p.dv + 7) & ~7) * 4u, vec4f(highest, total, 0.0, 0.0)); }
  }
}
