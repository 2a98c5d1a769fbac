//! params DeltaformerParams
//! extra first: i32, count: i32, state: u32
//! use group, storage, score-rules, row-end, sequence, key-scores
//! const BM, TN, NT, DC, VC, OWN
// DeltaFormer: u_i = v_i - beta_i sum_{j < i} softmax_{j < i}(scale q_i k_j) u_j,
// o_i = sum_{j <= i} softmax_{j <= i}(scale q_i k_j) u_j.
//
//   q     [B, T, Hq, dk], v [B, T, Hkv, dv]   f32, f16 or bf16; any strides, last axis contiguous
//   kPack as flash-pack writes it
//   beta  f32 [B, T, Hq]
//   vPack f32 [Hq, blocks, 64, ceil8(dv)]     receives u
//   o     f32 [B, T, Hq, dv]; aliases nothing
//
// Both softmaxes have the same scores, so one pass over the keys before a row gives the sum that u_i needs and, with the row's own key
// added, o_i. Rows go by spans of p.count blocks of BM from block p.first on: first all of them side by side over the keys before the span,
// then, with OWN, one block after another over what the span has before it, with a triangular system for its own keys. Between the two
// lie at p.state, for each head and block of the span,
//
//   f32 [4 VC][NT][4] sums of u, [NT][4] references, [NT][4] sums of weights
//
// DeltaFormer (Zhong 2025). Workgroup: one (sequence, head), and without OWN one block. Thread: four rows by four keys, or by four of every
// 4 TN columns.

const BM4 = BM / 4u;
// columns of a run
const RUN = TN * 4u;

// [DC 64][BM] queries
var<workgroup> queries: array<vec4f, DC * 64u * BM4>;
// [BM][BM] weights of a block's keys
var<workgroup> weights: array<vec4f, BM * BM4>;
// four rows of u
var<workgroup> solved: array<vec4f, 4u * VC * TN>;
var<workgroup> span: Sequence;

fn dv8() -> u32 { return (u32(p.dv) + 7u) & ~7u; }

fn valueAt(s: Sequence, h: i32, i: i32, c: u32) -> vec4f {
  let at = s.batch * p.vStrideB + (s.kStart + i) * p.vStrideT + (h / p.group) * p.vStrideH;
  var x = vec4f();
  for (var e = 0u; e < 4u; e++) { if (i < s.qLength && c + e < u32(p.dv)) { x[e] = loadAs(p.vType, p.v, at + i32(c + e)); } }
  return x;
}

@compute @workgroup_size(NT)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let item = select(i32(group) / p.count, i32(group), OWN);
  if (t == 0u) { span = sequenceAt(sequenceOfItem(item)); }
  let s = workgroupUniformLoad(&span);
  let h = item - s.firstItem;
  let dk = u32(p.dk);
  let wide = dv8();
  let tm = t / TN;
  let tn = t % TN;
  let keyHead = u32((h / p.group) * p.blocks + s.packBlock);
  let valueHead = u32(h * p.blocks + s.packBlock);
  let factor = scoreFactor();
  let begin = p.first + select(i32(group) % p.count, 0, OWN);
  let end = select(begin + 1, p.first + p.count, OWN);
  for (var block = begin; block < end; block += 1) {
    let q0 = block * i32(BM);
    if (q0 >= s.qLength) { break; }
    let i0 = q0 + i32(tm) * 4;
    let state = p.state + u32(item * p.count + block - p.first) * ((4u * VC + 2u) * NT * 16u) + t * 16u;
    workgroupBarrier();
    let qAt = s.batch * p.qStrideB + (s.qStart + q0) * p.qStrideT + h * p.qStrideH;
    for (var n = t; n < dk * BM4; n += NT) {
      let r = i32(n % BM4) * 4;
      let c = i32(n / BM4);
      var x = vec4f();
      for (var e = 0; e < 4; e++) { if (q0 + r + e < s.qLength) { x[e] = loadAs(p.qType, p.q, qAt + (r + e) * p.qStrideT + c); } }
      queries[n] = x * factor;
    }
    var acc = array<vec4f, 4u * VC>();
    var m = vec4f(HIDDEN);
    var l = vec4f();
    if (OWN && p.first > 0) {
      for (var n = 0u; n < 4u * VC; n++) { acc[n] = loadF4(state + n * NT * 16u); }
      m = loadF4(state + 4u * VC * NT * 16u);
      l = loadF4(state + (4u * VC + 1u) * NT * 16u);
    }
    let last = select(p.first - 1, block, OWN);
    var own = vec4f();
    for (var other = select(0, p.first, OWN); other <= last; other += 1) {
      workgroupBarrier();
      let j0 = u32(other) * BM;
      let keys = p.kPack + ((keyHead + j0 / 64u) * dk * 64u + j0 % 64u + tn * 4u) * 4u;
      var x = keyScores(keys, dk, tm);
      if (other == block) {
        // a row's own score lies with the thread on the diagonal; rows of a thread are those of its keys there
        if (tm == tn) { solved[tm] = vec4f(x[0].x, x[1].y, x[2].z, x[3].w); }
        for (var r = 0u; r < 4u; r++) {
          x[r] = select(vec4f(HIDDEN), x[r], vec4u(tn * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(tm * 4u + r));
        }
      }
      let most = mostOf(x, t);
      let reference = max(m, most);
      let rescale = exp2(max(m - reference, vec4f(-200.0)));
      m = reference;
      for (var r = 0u; r < 4u; r++) {
        // a sequence's first row sees nothing before it
        x[r] = select(exp2(max(x[r] - m[r], vec4f(-200.0))), vec4f(), vec4<bool>(isHidden(m[r])));
        l[r] = l[r] * rescale[r] + (x[r].x + x[r].y) + (x[r].z + x[r].w);
        for (var c = 0u; c < VC; c++) { acc[r * VC + c] *= rescale[r]; }
      }
      for (var e = 0u; e < 4u; e++) { weights[(tn * 4u + e) * BM4 + tm] = vec4f(x[0][e], x[1][e], x[2][e], x[3][e]); }
      workgroupBarrier();
      if (other == block) {
        own = solved[tm];
      } else {
        let values = p.vPack + (valueHead * 64u + j0) * wide * 4u;
        for (var n = 0u; n < BM; n++) {
          let weight = weights[n * BM4 + tm];
          for (var c = 0u; c < VC; c++) {
            let value = loadF4(values + (n * wide + min(c * RUN + tn * 4u, wide - 4u)) * 4u);
            acc[c] = fma(vec4f(weight.x), value, acc[c]);
            acc[VC + c] = fma(vec4f(weight.y), value, acc[VC + c]);
            acc[2u * VC + c] = fma(vec4f(weight.z), value, acc[2u * VC + c]);
            acc[3u * VC + c] = fma(vec4f(weight.w), value, acc[3u * VC + c]);
          }
        }
      }
    }
    if (!OWN) {
      for (var n = 0u; n < 4u * VC; n++) { storeF4(state + n * NT * 16u, acc[n]); }
      storeF4(state + 4u * VC * NT * 16u, m);
      storeF4(state + (4u * VC + 1u) * NT * 16u, l);
      continue;
    }

    l = lanesSum(l, t);
    var strength = vec4f();
    for (var r = 0u; r < 4u; r++) {
      let i = i0 + i32(r);
      if (i < s.qLength && l[r] > 0.0) {
        strength[r] = loadF(p.beta + u32(s.batch * p.betaStrideB + (s.kStart + i) * p.betaStrideT + h * p.betaStrideH) * 4u) / l[r];
      }
    }
    let top = max(m, own);
    let before = select(exp2(max(m - top, vec4f(-200.0))), vec4f(), m < vec4f(-3.2e38));
    let alone = exp2(max(own - top, vec4f(-200.0)));
    let total = before * l + alone;
    for (var turn = 0u; turn < BM4; turn++) {
      workgroupBarrier();
      if (tm == turn) {
        let w0 = weights[turn * 4u * BM4 + turn];
        let w1 = weights[(turn * 4u + 1u) * BM4 + turn];
        let w2 = weights[(turn * 4u + 2u) * BM4 + turn];
        for (var c = 0u; c < VC; c++) {
          let column = c * RUN + tn * 4u;
          let u0 = valueAt(s, h, i0, column) - strength.x * acc[c];
          acc[VC + c] += w0.y * u0;
          let u1 = valueAt(s, h, i0 + 1, column) - strength.y * acc[VC + c];
          acc[2u * VC + c] += w0.z * u0 + w1.z * u1;
          let u2 = valueAt(s, h, i0 + 2, column) - strength.z * acc[2u * VC + c];
          acc[3u * VC + c] += w0.w * u0 + w1.w * u1 + w2.w * u2;
          let u3 = valueAt(s, h, i0 + 3, column) - strength.w * acc[3u * VC + c];
          solved[c * TN + tn] = u0;
          solved[(VC + c) * TN + tn] = u1;
          solved[(2u * VC + c) * TN + tn] = u2;
          solved[(3u * VC + c) * TN + tn] = u3;
          if (column < wide) {
            let to = p.vPack + ((valueHead * 64u + u32(i0)) * wide + column) * 4u;
            storeF4(to, u0);
            storeF4(to + wide * 4u, u1);
            storeF4(to + wide * 8u, u2);
            storeF4(to + wide * 12u, u3);
          }
          let u = array<vec4f, 4>(u0, u1, u2, u3);
          for (var r = 0u; r < 4u; r++) {
            let i = i0 + i32(r);
            if (i < s.qLength) {
              let o = p.o + u32(s.batch * p.oStrideB + (s.qStart + i) * p.oStrideT + h * p.oStrideH) * 4u;
              storeRow(o, column, (before[r] * acc[r * VC + c] + alone[r] * u[r]) / total[r], 0.0);
            }
          }
        }
      }
      workgroupBarrier();
      if (tm > turn) {
        for (var n = 0u; n < 4u; n++) {
          let weight = weights[(turn * 4u + n) * BM4 + tm];
          for (var c = 0u; c < VC; c++) {
            let u = solved[(n * VC + c) * TN + tn];
            acc[c] = fma(vec4f(weight.x), u, acc[c]);
            acc[VC + c] = fma(vec4f(weight.y), u, acc[VC + c]);
            acc[2u * VC + c] = fma(vec4f(weight.z), u, acc[2u * VC + c]);
            acc[3u * VC + c] = fma(vec4f(weight.w), u, acc[3u * VC + c]);
          }
        }
      }
    }
    // what follows reads these rows of u
    storageBarrier();
  }
}
