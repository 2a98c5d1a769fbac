//! params FlashParams
//! extra subs: i32, chosen: u32, chosenStride: i32, lseTo: u32
//! use group, storage, score-rules, row-end
//! const BM, BN, TN, NT, DK, DV, DC, KCH, VCH, OC, LOADS, OUTS, PLAIN, SCORES, SECOND, SKIP, WIDE_Q
// Tiled online-softmax attention over packed keys and values; FlashAttention-2 (Dao 2023).
//
//   q      [B, Tq, H, dk]                    f32, f16 or bf16; any strides, last axis contiguous
//   kPack  f32 [Hkv, blocks, dk, 64]         as flash-pack writes them
//   vPack  f32 [Hkv, blocks, 64, ceil8(dv)]
//   biases, masks, lists, selections, places: as on WebAssembly (assembly/flash/flash.ts)
//   r      f32, as q                         SECOND: the second query of parallax attention
//   o      f32 [B, Tq, H, dv], lse f32 [B, Tq, H]; neither may alias an input
//
// Workgroup: BM query rows of one head; late rows of a sequence first. It goes through tiles of BN keys. A thread has four rows:
// four keys of the scores, and DV / (4 TN) vectors of the output. Elements pass through workgroup memory DC at a time.
// DK, DV: head dimensions rounded up to multiples of DC. LOADS: vectors of a tile of keys, or of values, that a thread brings; OC: vectors of a
// row of the values' tile that it has; OUTS: those of a whole row.

const DC4 = DC / 4u;
const BM4 = BM / 4u;
const BN4 = BN / 4u;

// [DK][BM] queries, times scale; and as many second ones
const SETS = select(1u, 2u, SECOND);
var<workgroup> qTile: array<vec4f, DK * BM4 * SETS>;
// [DC][BN] keys, then [BN][BM] weights, and as many second ones
var<workgroup> kTile: array<vec4f, max(DC * BN4, BN * BM4 * SETS)>;
// [BN][DC] values
var<workgroup> vTile: array<vec4f, BN * DC4>;

// Elements c of four rows from i on of q or r, zero behind the last row or element.
fn fourRows(base: u32, kind: i32, start: i32, i: i32, rows: i32, c: i32) -> vec4f {
  var x = vec4f();
  for (var e = 0; e < 4; e++) {
    if (i + e < rows && c < p.dk) { x[e] = loadAs(kind, base, start + (i + e) * p.qStrideT + c); }
  }
  return x;
}

// Byte address of the lse of query row i.
fn lseOf(s: Sequence, h: i32, i: i32) -> u32 {
  return p.lse + u32(s.batch * p.lseStrideB + (s.qStart + i) * p.lseStrideT + h * p.lseStrideH) * 4u;
}

// Writes a score in natural units, where those of this stage are asked for.
fn keepScore(s: Sequence, h: i32, i: i32, j: i32, stage: i32, x: f32) {
  if (!SCORES || p.scoresStage != stage) { return; }
  let at = s.batch * p.scoresStrideB + h * p.scoresStrideH + (s.qStart + i) * p.scoresStrideT + s.kStart + j;
  storeScore(p.scores + u32(at) * 4u, x, isHidden(x));
}

// Where a tile of keys lies: its packed block, and which part of it.
fn placeOf(head: u32, tile: u32) -> vec2u { return vec2u(head + tile * BN / 64u, tile % (64u / BN)); }

// Vector n of a chunk of a tile of keys, [DC][BN], and of values, [BN][DC].
fn keysOf(place: vec2u, chunk: u32, n: u32) -> vec4f {
  let d = chunk * DC + n / BN4;
  if (n >= DC * BN4 || d >= u32(p.dk)) { return vec4f(); }
  return loadF4(p.kPack + ((place.x * u32(p.dk) + d) * 64u + place.y * BN + (n % BN4) * 4u) * 4u);
}
fn valuesOf(place: vec2u, chunk: u32, n: u32, width: u32) -> vec4f {
  let c = chunk * DC + (n % DC4) * 4u;
  if (n >= BN * DC4 || c >= width) { return vec4f(); }
  return loadF4(p.vPack + ((place.x * 64u + place.y * BN + n / DC4) * width + c) * 4u);
}

// The sequence of an item, the same for all threads as far as the compiler can tell: through workgroup memory, in whose room for keys
// there is nothing yet. As floats, which hold counts up to 2^24.
fn uniformSequence(item: i32, t: u32) -> Sequence {
  if (t == 0u) {
    let s = sequenceAt(sequenceOfItem(item));
    kTile[0] = vec4f(vec4i(s.batch, s.qStart, s.qLength, s.kStart));
    kTile[1] = vec4f(vec4i(s.kLength, s.offset, s.packBlock, s.firstItem));
  }
  let a = vec4i(workgroupUniformLoad(&kTile[0]));
  let b = vec4i(workgroupUniformLoad(&kTile[1]));
  return Sequence(a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w);
}

@compute @workgroup_size(NT)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let item = i32(group) / p.subs;
  let s = uniformSequence(item, t);
  let local = item - s.firstItem;
  let blocksQ = (s.qLength + p.blockQ - 1) / p.blockQ;
  let h = local / blocksQ;
  let block0 = (blocksQ - 1 - (local - h * blocksQ)) * p.blockQ;
  let q0 = block0 + (p.subs - 1 - i32(group) % p.subs) * i32(BM);
  let rows = min(i32(BM), min(block0 + p.blockQ, s.qLength) - q0);
  if (rows <= 0) { return; }

  let tm = t / TN;
  let tn = t % TN;
  let i0 = q0 + i32(tm) * 4;
  let factor = scoreFactor();
  let qStart = s.batch * p.qStrideB + (s.qStart + q0) * p.qStrideT + h * p.qStrideH;
  if (WIDE_Q) {
    // four rows of four elements at once, turned
    for (var n = t; n < BM4 * (DK / 4u); n += NT) {
      let c = (n % (DK / 4u)) * 4u;
      let m = n / (DK / 4u);
      var x = array<vec4f, 4>();
      @unroll-guarded for (var e = 0u; e < 4u; e++) {
        let i = i32(m * 4u + e);
        if (i < rows && i32(c) < p.dk) { x[e] = loadF4(p.q + u32(qStart + i * p.qStrideT + i32(c)) * 4u) * factor; }
      }
      @unroll-guarded for (var e = 0u; e < 4u; e++) { qTile[(c + e) * BM4 + m] = vec4f(x[0][e], x[1][e], x[2][e], x[3][e]); }
    }
  } else {
    for (var n = t; n < DK * BM4; n += NT) {
      qTile[n] = fourRows(p.q, p.qType, qStart, i32(n % BM4) * 4, rows, i32(n / BM4)) * factor;
    }
  }
  if (SECOND) {
    for (var n = t; n < DK * BM4; n += NT) {
      qTile[DK * BM4 + n] = fourRows(p.r, 0, qStart, i32(n % BM4) * 4, rows, i32(n / BM4));
    }
  }

  let head = u32((h / p.group) * p.blocks + s.packBlock);
  let width = (u32(p.dv) + 7u) & ~7u;
  let steps = openTiles(s, h, q0, rows, group, t);
  let lastTile = max(s.kLength - 1, 0) / i32(BN);

  var acc: array<array<vec4f, OUTS>, 4>;
  var second: array<array<vec4f, OUTS>, 4>;
  var m = vec4f(HIDDEN);
  var l = vec4f();
  var secondSum = vec4f();
  var kNext: array<vec4f, LOADS>;
  var vNext: array<vec4f, LOADS>;
  if (steps > 0) {
    let place = placeOf(head, u32(min(tileAt(s, q0, group, 0), lastTile)));
    @unroll-guarded for (var b = 0u; b < LOADS; b++) {
      kNext[b] = keysOf(place, 0u, t + b * NT);
      vNext[b] = valuesOf(place, 0u, t + b * NT, width);
    }
  }

  for (var step = 0; step < steps; step++) {
    let first = tileAt(s, q0, group, step) * i32(BN);
    // a list may name blocks behind the end of a short sequence
    let place = placeOf(head, min(u32(first) / BN, u32(lastTile)));
    // what comes next is on its way while this is computed
    let after = placeOf(head, u32(min(tileAt(s, q0, group, min(step + 1, steps - 1)), lastTile)));
    // written out: drivers were seen that keep what the last round left in a variable
    var x = array<vec4f, 4>();
    var y = array<vec4f, 4>();
    for (var chunk = 0u; chunk < KCH; chunk++) {
      workgroupBarrier();
      @unroll-guarded for (var b = 0u; b < LOADS; b++) { if (t + b * NT < DC * BN4) { kTile[t + b * NT] = kNext[b]; } }
      if (chunk == 0u) {
        @unroll-guarded for (var b = 0u; b < LOADS; b++) { if (t + b * NT < BN * DC4) { vTile[t + b * NT] = vNext[b]; } }
      }
      workgroupBarrier();
      let nextKeys = chunk + 1u < KCH;
      @unroll-guarded for (var b = 0u; b < LOADS; b++) {
        kNext[b] = keysOf(vec2u(select(after.x, place.x, nextKeys), select(after.y, place.y, nextKeys)), select(0u, chunk + 1u, nextKeys), t + b * NT);
      }
      if (chunk == 0u) {
        @unroll-guarded for (var b = 0u; b < LOADS; b++) {
          vNext[b] = valuesOf(select(after, place, vec2<bool>(VCH > 1u)), select(0u, 1u, VCH > 1u), t + b * NT, width);
        }
      }
      for (var d = 0u; d < DC; d += 4u) {
        @unroll-guarded for (var e = 0u; e < 4u; e++) {
          let key = kTile[(d + e) * BN4 + tn];
          let query = qTile[(chunk * DC + d + e) * BM4 + tm];
          x[0] = fma(vec4f(query.x), key, x[0]);
          x[1] = fma(vec4f(query.y), key, x[1]);
          x[2] = fma(vec4f(query.z), key, x[2]);
          x[3] = fma(vec4f(query.w), key, x[3]);
          if (SECOND) {
            let other = qTile[DK * BM4 + (chunk * DC + d + e) * BM4 + tm];
            @unroll-guarded for (var r = 0u; r < 4u; r++) { y[r] = fma(vec4f(other[r]), key, y[r]); }
          }
        }
      }
    }

    let j0 = first + i32(tn) * 4;
    if (!PLAIN) {
      @unroll-guarded for (var r = 0u; r < 4u; r++) {
        @unroll-guarded for (var e = 0u; e < 4u; e++) {
          if (i0 + i32(r) < q0 + rows && j0 + i32(e) < s.kLength) {
            let i = i0 + i32(r);
            let j = j0 + i32(e);
            keepScore(s, h, i, j, 0, x[r][e] * select(LN2, p.softcap, p.softcap != 0.0));
            if (SCORES) { keepScore(s, h, i, j, 1, select(x[r][e] * LN2, tanhOf(x[r][e]) * p.softcap, p.softcap != 0.0)); }
            x[r][e] = ruledScore(s, h, i, j, x[r][e]);
          }
        }
      }
    }
    // the window of the first row begins, or that of the last ends, inside the tile; or it is not all of one piece
    if (!ALL_SEEN || first + i32(BN) > endKey(s, q0) || first < firstKey(s, q0 + rows - 1)) {
      let keys = vec4i(j0) + vec4i(0, 1, 2, 3);
      @unroll-guarded for (var r = 0u; r < 4u; r++) {
        let i = min(i0 + i32(r), q0 + rows - 1);
        let inside = (keys >= vec4i(firstKey(s, i))) & (keys < vec4i(endKey(s, i)));
        x[r] = select(vec4f(HIDDEN), x[r], inside & bitsOf(s, h, q0, group, step, i, j0));
      }
    }
    if (SCORES) {
      @unroll-guarded for (var r = 0u; r < 4u; r++) {
        @unroll-guarded for (var e = 0u; e < 4u; e++) {
          let i = i0 + i32(r);
          let j = j0 + i32(e);
          if (i < q0 + rows && j < s.kLength) { keepScore(s, h, i, j, 2, select(x[r][e] * LN2, HIDDEN, isHidden(x[r][e]))); }
        }
      }
    }
    let most = lanesMax(
      vec4f(
        max(max(x[0].x, x[0].y), max(x[0].z, x[0].w)), max(max(x[1].x, x[1].y), max(x[1].z, x[1].w)),
        max(max(x[2].x, x[2].y), max(x[2].z, x[2].w)), max(max(x[3].x, x[3].y), max(x[3].z, x[3].w))), t);
    if (SKIP) {
      @unroll-guarded for (var r = 0u; r < 4u; r++) { if (!isHidden(m[r]) && most[r] <= m[r] - p.skipBelow) { x[r] = vec4f(HIDDEN); } }
    }
    let reference = max(m, most);
    let rescale = exp2(max(m - reference, vec4f(-200.0)));
    m = reference;
    @unroll-guarded for (var r = 0u; r < 4u; r++) {
      // where nothing was seen yet all are hidden, and what is summed up is forgotten with the first that is seen
      x[r] = exp2(max(x[r] - m[r], vec4f(-200.0)));
      l[r] = l[r] * rescale[r] + (x[r].x + x[r].y) + (x[r].z + x[r].w);
      @unroll-guarded for (var c = 0u; c < OUTS; c++) { acc[r][c] *= rescale[r]; }
      if (SECOND) {
        y[r] *= x[r];
        secondSum[r] = secondSum[r] * rescale[r] + (y[r].x + y[r].y) + (y[r].z + y[r].w);
        @unroll-guarded for (var c = 0u; c < OUTS; c++) { second[r][c] *= rescale[r]; }
      }
    }
    workgroupBarrier();
    @unroll-guarded for (var e = 0u; e < 4u; e++) {
      kTile[(tn * 4u + e) * BM4 + tm] = vec4f(x[0][e], x[1][e], x[2][e], x[3][e]);
      if (SECOND) { kTile[(BN + tn * 4u + e) * BM4 + tm] = vec4f(y[0][e], y[1][e], y[2][e], y[3][e]); }
    }
      @unroll for (var chunk = 0u; chunk < VCH; chunk++) {
      workgroupBarrier();
      if (chunk > 0u) {
        @unroll-guarded for (var b = 0u; b < LOADS; b++) { if (t + b * NT < BN * DC4) { vTile[t + b * NT] = vNext[b]; } }
        workgroupBarrier();
        let more = chunk + 1u < VCH;
        @unroll-guarded for (var b = 0u; b < LOADS; b++) {
          vNext[b] = valuesOf(select(after, place, vec2<bool>(more)), select(0u, chunk + 1u, more), t + b * NT, width);
        }
      }
      for (var n = 0u; n < BN; n += 4u) {
        @unroll-guarded for (var e = 0u; e < 4u; e++) {
          let weight = kTile[(n + e) * BM4 + tm];
          @unroll-guarded for (var c = 0u; c < OC; c++) {
            let value = vTile[(n + e) * DC4 + c * TN + tn];
            let to = chunk * OC + c;
            acc[0][to] = fma(vec4f(weight.x), value, acc[0][to]);
            acc[1][to] = fma(vec4f(weight.y), value, acc[1][to]);
            acc[2][to] = fma(vec4f(weight.z), value, acc[2][to]);
            acc[3][to] = fma(vec4f(weight.w), value, acc[3][to]);
            if (SECOND) {
              let other = kTile[(BN + n + e) * BM4 + tm];
              @unroll-guarded for (var r = 0u; r < 4u; r++) { second[r][to] = fma(vec4f(other[r]), value, second[r][to]); }
            }
          }
        }
      }
      }
  }

  l = lanesSum(l, t);
  if (SECOND) { secondSum = lanesSum(secondSum, t); }
  let gain = select(1.0, loadF(p.outScale + u32(s.batch * p.outScaleStrideB + h) * 4u), p.outScale != 0u);
  var ends: array<RowEnd, 4>;
  @unroll-guarded for (var r = 0u; r < 4u; r++) {
    let i = min(i0 + i32(r), q0 + rows - 1);
    ends[r] = closeRow(h, m[r], l[r], keyBiasBase(s, h, i));
    ends[r] = joinRow(ends[r], lseOf(s, h, i));
  }
  // single words of lse may lie anywhere: flash-lse puts them there
  if (p.lse != 0u && tn == 0u) {
    storeU4(p.lseTo + (group * BM + tm * 4u) * 4u, vec4u(lseBits(ends[0]), lseBits(ends[1]), lseBits(ends[2]), lseBits(ends[3])));
  }
  @unroll-guarded for (var r = 0u; r < 4u; r++) {
    let i = i0 + i32(r);
    if (i < q0 + rows) {
      let o = p.o + u32(s.batch * p.oStrideB + (s.qStart + i) * p.oStrideT + h * p.oStrideH) * 4u;
      let direct = ends[r].inverse * gain;
      @unroll-guarded for (var c = 0u; c < OUTS; c++) {
        var x = acc[r][c] * direct;
        if (SECOND) { x = x * (1.0 + secondSum[r] * ends[r].inverse) - second[r][c] * direct; }
        let column = (c / OC) * DC + ((c % OC) * TN + tn) * 4u;
        storeRow(o, column, x, ends[r].keep);
      }
    }
  }
}
