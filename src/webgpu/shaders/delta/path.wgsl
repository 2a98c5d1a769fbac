//! params PathParams
//! extra subs: i32
//! use group, score-rules, row-end, sequence, key-scores
//! const BM, TN, NT, DC, VC, BIASED
// Causal softmax attention whose scores are q_i H_i H_{i-1} ... H_{j+1} k_j, H_t = I - beta_t w_t^T w_t.
//
//   qCarried, local, kBlock, kPack, carryBlock, carrySpan   as the shaders of pathBlocks write them, kPack being kSpan
//   vPack    as flash-pack writes it
//   keyBias  [B, T, Hq]         added to a key's scores; two floats for an f64
//   o        f32 [B, T, Hq, dv]; aliases nothing
//
// Queries start with the scores within their block and are carried from right to left: over the blocks of their own span, then over whole
// spans, whose keys wait at their ends. PaTH attention (Yang 2025).
//
// Workgroup: BM rows of a block of 64 queries of one head, late blocks first. Thread: four rows by four keys, or by four of every 64
// elements: DC such runs of a key, VC of a value.

const BM4 = BM / 4u;

// [DC 64][BM] queries
var<workgroup> queries: array<vec4f, DC * 64u * BM4>;
// [64][BM] weights of a block's keys
var<workgroup> weights: array<vec4f, 64u * BM4>;
// its batch is the sequence's number
var<workgroup> span: Sequence;

fn matrixBytes() -> u32 { return u32(p.dk) * ((u32(p.dk) + 7u) & ~7u) * 4u; }

@compute @workgroup_size(NT)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let item = i32(group) / p.subs;
  if (t == 0u) { span = sequenceAt(sequenceOfItem(item)); }
  let s = workgroupUniformLoad(&span);
  // the number of a sequence among the spans: found again, since a table has none
  let index = sequenceOfItem(item);
  let dk = u32(p.dk);
  let dv8 = (u32(p.dv) + 7u) & ~7u;
  let wide = u32(p.dk + 3) & ~3u;
  let local = item - s.firstItem;
  let blocks = (s.qLength + 63) / 64;
  let h = local / blocks;
  let own = blocks - 1 - (local - h * blocks);
  let r0 = (i32(group) % p.subs) * i32(BM);
  let q0 = own * 64 + r0;
  if (q0 >= s.qLength) { return; }
  let tm = t / TN;
  let tn = t % TN;
  let i0 = q0 + i32(tm) * 4;
  let place = u32(h * p.blocks + s.packBlock + own);
  let head = u32((h / p.group) * p.blocks + s.packBlock);
  let carries = p.carryBlock + head * matrixBytes();
  let spanCarries = p.carrySpan + (u32((h / p.group) * p.spans + s.packBlock / p.spanBlocks) + index) * matrixBytes();
  let firstBlock = own - own % p.spanBlocks;

  for (var n = t; n < dk * BM4; n += NT) {
    queries[n] = loadF4(p.qCarried + (place * dk * 64u + (n / BM4) * 64u + u32(r0) + (n % BM4) * 4u) * 4u);
  }
  var acc = array<vec4f, 4u * VC>();
  var m = vec4f(HIDDEN);
  var l = vec4f();
  for (var block = own; block >= 0; block -= 1) {
    let packed = head + u32(block);
    workgroupBarrier();
    var x = array<vec4f, 4>();
    if (block == own) {
      let row = p.local + place * 16384u + u32(r0 + i32(tm) * 4) * 256u + tn * 16u;
      for (var r = 0u; r < 4u; r++) { x[r] = loadF4(row + r * 256u); }
    } else {
      let keys = select(p.kPack, p.kBlock, block >= firstBlock) + packed * dk * 256u + tn * 16u;
      x = keyScores(keys, dk, tm);
    }
    let j0 = block * 64 + i32(tn) * 4;
    if (BIASED) {
      for (var r = 0u; r < 4u; r++) {
        for (var e = 0u; e < 4u; e++) {
          let i = i0 + i32(r);
          let j = j0 + i32(e);
          if (i < s.qLength && j < s.kLength) { x[r][e] = ruledScore(s, h, i, j, x[r][e]); }
        }
      }
    }
    if (block == own) {
      for (var r = 0u; r < 4u; r++) {
        x[r] = select(vec4f(HIDDEN), x[r], vec4i(j0) + vec4i(0, 1, 2, 3) <= vec4i(min(i0 + i32(r), s.qLength - 1)));
      }
    }
    let most = mostOf(x, t);
    let reference = max(m, most);
    let rescale = exp2(max(m - reference, vec4f(-200.0)));
    m = reference;
    for (var r = 0u; r < 4u; r++) {
      x[r] = exp2(max(x[r] - m[r], vec4f(-200.0)));
      l[r] = l[r] * rescale[r] + (x[r].x + x[r].y) + (x[r].z + x[r].w);
      for (var c = 0u; c < VC; c++) { acc[r * VC + c] *= rescale[r]; }
    }
    for (var e = 0u; e < 4u; e++) { weights[(tn * 4u + e) * BM4 + tm] = vec4f(x[0][e], x[1][e], x[2][e], x[3][e]); }
    workgroupBarrier();
    let values = p.vPack + packed * 256u * dv8;
    for (var n = 0u; n < 64u; n++) {
      let weight = weights[n * BM4 + tm];
      for (var c = 0u; c < VC; c++) {
        let value = loadF4(values + (n * dv8 + min(c * 64u + tn * 4u, dv8 - 4u)) * 4u);
        acc[c] = fma(vec4f(weight.x), value, acc[c]);
        acc[VC + c] = fma(vec4f(weight.y), value, acc[VC + c]);
        acc[2u * VC + c] = fma(vec4f(weight.z), value, acc[2u * VC + c]);
        acc[3u * VC + c] = fma(vec4f(weight.w), value, acc[3u * VC + c]);
      }
    }
    // what is left has the queries at the start of this block, or of this span
    let inside = block >= firstBlock;
    if (block > 0 && block < own && (inside || block % p.spanBlocks == 0)) {
      let carry = select(spanCarries + u32(block / p.spanBlocks) * matrixBytes(), carries + u32(block) * matrixBytes(), inside);
      var y = array<vec4f, 4u * DC>();
      for (var d = 0u; d < dk; d++) {
        let query = queries[d * BM4 + tm];
        for (var c = 0u; c < DC; c++) {
          let row = loadF4(carry + (d * wide + min(c * 64u + tn * 4u, wide - 4u)) * 4u);
          y[c] = fma(vec4f(query.x), row, y[c]);
          y[DC + c] = fma(vec4f(query.y), row, y[DC + c]);
          y[2u * DC + c] = fma(vec4f(query.z), row, y[2u * DC + c]);
          y[3u * DC + c] = fma(vec4f(query.w), row, y[3u * DC + c]);
        }
      }
      workgroupBarrier();
      for (var c = 0u; c < DC; c++) {
        for (var e = 0u; e < 4u; e++) {
          queries[(c * 64u + tn * 4u + e) * BM4 + tm] = vec4f(y[c][e], y[DC + c][e], y[2u * DC + c][e], y[3u * DC + c][e]);
        }
      }
    }
  }

  l = lanesSum(l, t);
  for (var r = 0u; r < 4u; r++) {
    let i = i0 + i32(r);
    if (i >= s.qLength) { continue; }
    let end = closeRow(h, m[r], l[r], vec2f());
    let o = p.o + u32(s.batch * p.oStrideB + (s.qStart + i) * p.oStrideT + h * p.oStrideH) * 4u;
    for (var c = 0u; c < VC; c++) { storeRow(o, c * 64u + tn * 4u, acc[r * VC + c] * end.inverse, 0.0); }
  }
}
