//! params TailFitParams
//! use group, special, storage, map-rows, ordered, workgroup-sum
//! extra space: u32
// The fewest tokens, cluster by cluster, that hold a share of the softmax by a curve through a sample of it.
//
//   map      f32 [B, H, rows, clusters]             columns contiguous: scores of clusters
//   q        f32, f16 or bf16 [B, rows, H, d]       any strides, last axis contiguous
//   k        f32, f16 or bf16 [B, length, H / group, d]   likewise
//   order    i32 [B, H / group, length]             contiguous: tokens by cluster
//   offsets  i32 [B, H / group, clusters + 1]       contiguous
//   bits     i32 [B, H, rows, words]                contiguous: what is chosen
//   space    words [groups, 2 clusters + 1 + length + exact + samples]
//
//   Tokens lie by falling scores of their clusters. Weights e^(scale q k) of the first exact places and of samples others at equal
//   distances are known; a / x + b is fitted to the latter by least squares, x the place counted from 1, and stands for all places past
//   the exact ones, at least 0. The shortest prefix with a share of the sum is taken, and the first and last tokens that a row sees.
//   Tactic (Zhu 2025). Row i sees tokens [0, length - rows + i + 1).
//
// Workgroup: one row.

var<workgroup> spans: array<f32, 256>;
var<workgroup> cutAt: atomic<u32>;
var<workgroup> chosen: array<atomic<u32>, 1024>;
var<workgroup> running: u32;
var<workgroup> spanCounts: array<u32, 256>;

// Place of sample n among the places from `exact` on.
fn placeOf(exact: u32, rest: u32, samples: u32, n: u32) -> u32 {
  // (2 n + 1) rest / (2 samples) without its product, which may not fit
  let whole = rest / (2u * samples);
  let part = rest - whole * 2u * samples;
  return exact + (2u * n + 1u) * whole + ((2u * n + 1u) * part) / (2u * samples);
}

// Tokens of a cluster that a row sees: they ascend.
fn seenOf(order: u32, begin: u32, end: u32, seen: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (loadU(order + middle * 4u) < seen) { low = middle + 1u; } else { high = middle; }
  }
  return low - begin;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let list = item / p.rows;
  let i = item - list * p.rows;
  let batch = list / p.lists;
  let h = list - batch * p.lists;
  let kvList = batch * (p.lists / p.group) + h / p.group;
  let seen = u32(max(0, p.length - p.rows + i + 1));
  let clusters = u32(visibleColumns(i));
  let row = mapRow(list, i);
  let order = p.order + u32(kvList * p.length) * 4u;
  let offsets = p.offsets + u32(kvList * (p.columns + 1)) * 4u;
  let ranked = p.space + u32(item) * u32(2 * p.columns + 1 + p.length + p.exact + p.samples) * 4u;
  let starts = ranked + u32(p.columns) * 4u;
  let tokens = starts + u32(p.columns + 1) * 4u;
  let weights = tokens + u32(p.length) * 4u;

  for (var c = t; c < clusters; c += 256u) {
    let own = orderedBits(loadU(row + c * 4u));
    var rank = 0u;
    for (var x = 0u; x < clusters; x += 1u) {
      let other = orderedBits(loadU(row + x * 4u));
      rank += u32(other > own || (other == own && x < c));
    }
    storeU(ranked + rank * 4u, c);
  }
  if (t == 0u) { running = 0u; }
  storageBarrier();
  workgroupBarrier();
  for (var r0 = 0u; r0 < clusters; r0 += 256u) {
    var count = 0u;
    if (r0 + t < clusters) {
      let c = loadU(ranked + (r0 + t) * 4u);
      count = seenOf(order, loadU(offsets + c * 4u), loadU(offsets + (c + 1u) * 4u), seen);
    }
    spanCounts[t] = count;
    workgroupBarrier();
    var before = running;
    for (var x = 0u; x < t; x += 1u) { before += spanCounts[x]; }
    if (r0 + t < clusters) { storeU(starts + (r0 + t) * 4u, before); }
    workgroupBarrier();
    if (t == 255u) { running = before + count; }
    workgroupBarrier();
  }
  let n = workgroupUniformLoad(&running);
  if (t == 0u) { storeU(starts + clusters * 4u, n); }
  storageBarrier();
  workgroupBarrier();
  for (var r = t; r < clusters; r += 256u) {
    let begin = loadU(starts + r * 4u);
    let end = loadU(starts + (r + 1u) * 4u);
    let first = loadU(offsets + loadU(ranked + r * 4u) * 4u);
    for (var x = begin; x < end; x += 1u) { storeU(tokens + x * 4u, loadU(order + (first + x - begin) * 4u)); }
  }
  storageBarrier();
  workgroupBarrier();

  var taken = n;
  if (p.share < 1.0 && n > 0u) {
    let exact = min(u32(p.exact), n);
    let rest = n - exact;
    let samples = min(u32(p.samples), rest);
    let q = batch * p.qStrideB + i * p.qStrideT + h * p.qStrideH;
    let keys = batch * p.kStrideB + (h / p.group) * p.kStrideH;
    var most = LOWEST;
    for (var x = t; x < exact + samples; x += 256u) {
      var place = x;
      if (x >= exact) { place = placeOf(exact, rest, samples, x - exact); }
      let k = keys + loadI(tokens + place * 4u) * p.kStrideT;
      var logit = 0.0;
      for (var c = 0; c < p.d; c += 1) {
        logit = fma(loadAs(p.qType, p.q, q + c) * p.scale, loadAs(p.kType, p.k, k + c), logit);
      }
      storeF(weights + x * 4u, logit);
      most = max(most, logit);
    }
    most = workgroupMax(t, most);
    var u = 0.0;
    var y = 0.0;
    for (var x = t; x < exact + samples; x += 256u) {
      let weight = exp2((loadF(weights + x * 4u) - most) * LOG2E);
      storeF(weights + x * 4u, weight);
      if (x >= exact) {
        u += 1.0 / f32(placeOf(exact, rest, samples, x - exact) + 1u);
        y += weight;
      }
    }
    storageBarrier();
    let count = f32(max(1u, samples));
    u = workgroupSum(t, u) / count;
    y = workgroupSum(t, y) / count;
    // about the means: the sums of squares less the squares of sums would round away what is left
    var uu = 0.0;
    var uy = 0.0;
    for (var x = exact + t; x < exact + samples; x += 256u) {
      let place = 1.0 / f32(placeOf(exact, rest, samples, x - exact) + 1u);
      uu += (place - u) * (place - u);
      uy += (place - u) * (loadF(weights + x * 4u) - y);
    }
    uu = workgroupSum(t, uu);
    uy = workgroupSum(t, uy);
    var a = 0.0;
    if (samples > 1u && uu > 1e-10 * (uu + count * u * u)) { a = uy / uu; }
    let b = y - a * u;
    // a run of places for each thread
    let run = (n + 255u) / 256u;
    let begin = min(n, t * run);
    let end = min(n, begin + run);
    var own = 0.0;
    for (var x = begin; x < end; x += 1u) {
      if (x < exact) { own += loadF(weights + x * 4u); } else { own += max(0.0, a / f32(x + 1u) + b); }
    }
    spans[t] = own;
    if (t == 0u) { atomicStore(&cutAt, n); }
    workgroupBarrier();
    var sum = 0.0;
    for (var x = 0u; x < t; x += 1u) { sum += spans[x]; }
    var all = sum;
    for (var x = t; x < 256u; x += 1u) { all += spans[x]; }
    let wanted = p.share * all;
    for (var x = begin; x < end; x += 1u) {
      if (x < exact) { sum += loadF(weights + x * 4u); } else { sum += max(0.0, a / f32(x + 1u) + b); }
      if (sum >= wanted) {
        atomicMin(&cutAt, x + 1u);
        break;
      }
    }
    workgroupBarrier();
    taken = atomicLoad(&cutAt);
  }

  let first = min(u32(p.first), seen);
  let last = seen - min(u32(p.last), seen);
  for (var w0 = 0u; w0 < u32(p.words); w0 += 1024u) {
    workgroupBarrier();
    for (var w = t; w < 1024u; w += 256u) { atomicStore(&chosen[w], 0u); }
    workgroupBarrier();
    for (var x = t; x < taken + first + seen - last; x += 256u) {
      var token = x - taken;
      if (x < taken) { token = loadU(tokens + x * 4u); }
      else if (token >= first) { token += last - first; }
      let w = (token >> 5u) - w0;
      if (w < 1024u) { atomicOr(&chosen[w], 1u << (token & 31u)); }
    }
    workgroupBarrier();
    for (var w = t; w < min(1024u, u32(p.words) - w0); w += 256u) {
      storeU(p.bits + (u32(item * p.words) + w0 + w) * 4u, atomicLoad(&chosen[w]));
    }
  }
}
