//! params SlotParams
//! use group, slot-rows
//! const K_TYPE, V_TYPE, SLICES
//! extra space: u32
// Causal attention over a bounded set of slots, token by token: a token is put into a slot, its query attends to all slots that are
// held, and where they are then more than `budget`, one is let go.
//
//   q          f32, f16 or bf16 [B, queries, H, dk]   queries of the last new tokens; those before have none
//   newK       f32, f16 or bf16 [B, tokens, Hkv, dk]  any strides, last axis contiguous, as for q and newV
//   newV       f32, f16 or bf16 [B, tokens, Hkv, dv]
//   k          f32, f16, bf16 or i8 [B, slots, Hkv, width]   width = kStrideT, a multiple of 8: zeros behind dk
//   v          likewise                                       width = vStrideT
//   kScale, vScale  f32 [B, slots, Hkv]    i8 only
//   positions  i32 [B, units, slots]       of the tokens held; contiguous
//   sums       f32 [B, units, slots]       weights that each has got; contiguous
//   o          f32 [B, queries, H, dv]     any strides, last axis contiguous; nothing may alias
//   space      f32 [groups, slots]         weights of one head
//
//   As assembly/evict/slots.ts; wideK and wideV are not used. H2O (Zhang 2023), TOVA (Oren 2024).
//
// Workgroup: one (batch, unit). A slot belongs to one thread, and so do its score and its sum.

const LANES_OF_VALUE = 256u / SLICES;
const MOST_SUM = 3.4028234e38;

var<workgroup> query: array<f32, 1024>;
var<workgroup> leastSum: array<f32, 256>;
var<workgroup> earliest: array<i32, 256>;
var<workgroup> slotOf: array<i32, 256>;
var<workgroup> victim: i32;

fn slotScale(scales: u32, batch: i32, h: i32, j: i32) -> f32 {
  if (scales == 0u) { return 1.0; }
  return loadF(scales + scaleSlot(batch, h, j));
}

fn attendHead(t: u32, batch: i32, h: i32, r: i32, i: i32, n: i32, weights: u32, sums: u32) {
  let head = h * p.group + r;
  let factor = select(p.scale * LOG2E, p.scale / p.softcap, p.softcap != 0.0);
  for (var c = i32(t); c < p.dk; c += 256) {
    query[c] = loadAs(p.qType, p.q, batch * p.qStrideB + i * p.qStrideT + head * p.qStrideH + c) * factor;
  }
  workgroupBarrier();
  var most = LOWEST;
  for (var j = i32(t); j < n; j += 256) {
    let row = keySlot(batch, h, j);
    var score = 0.0;
    for (var c = 0; c < p.dk; c += 1) { score = fma(query[c], loadAs(i32(K_TYPE), p.k, row + c), score); }
    if (K_TYPE == 3u) { score *= slotScale(p.kScale, batch, h, j); }
    if (p.softcap != 0.0) { score = p.softcap * LOG2E * tanh(clamp(score, -15.0, 15.0)); }
    storeF(weights + u32(j) * 4u, score);
    most = max(most, score);
  }
  most = maxOfAll(t, most);
  var sum = 0.0;
  for (var j = i32(t); j < n; j += 256) {
    let w = exp2(loadF(weights + u32(j) * 4u) - most);
    storeF(weights + u32(j) * 4u, w);
    sum += w;
  }
  sum = sumOfAll(t, sum);
  var share = 0.0;
  if (sum > 0.0) { share = 1.0 / sum; }
  for (var j = i32(t); j < n; j += 256) {
    let at = u32(j) * 4u;
    let w = loadF(weights + at) * share;
    storeF(sums + at, loadF(sums + at) + w);
    // the values of i8 slots are codes times their scale
    if (V_TYPE == 3u) { storeF(weights + at, w * slotScale(p.vScale, batch, h, j)); } else { storeF(weights + at, w); }
  }
  storageBarrier();
  workgroupBarrier();
  let slice = i32(t / LANES_OF_VALUE);
  for (var c0 = 0; c0 < p.dv; c0 += i32(LANES_OF_VALUE)) {
    let c = c0 + i32(t % LANES_OF_VALUE);
    var o = 0.0;
    if (c < p.dv) {
      for (var j = slice; j < n; j += i32(SLICES)) {
        o = fma(loadF(weights + u32(j) * 4u), loadAs(i32(V_TYPE), p.v, valueSlot(batch, h, j) + c), o);
      }
    }
    partValues[t] = o;
    workgroupBarrier();
    if (slice == 0 && c < p.dv) {
      for (var s = 1u; s < SLICES; s += 1u) { o += partValues[s * LANES_OF_VALUE + t]; }
      storeF(p.o + u32(batch * p.oStrideB + i * p.oStrideT + head * p.oStrideH + c) * 4u, o);
    }
    workgroupBarrier();
  }
}

// Whether a slot goes before another: the least sum, of equal ones the earliest position; slot -1 is none.
fn goesFirst(sum: f32, position: i32, other: f32, otherPosition: i32) -> bool {
  return sum < other || (sum == other && position < otherPosition);
}

// The slot that is let go, of n whose position is at most `last`; sums that are NaN come last.
fn victimOf(t: u32, sums: u32, positions: u32, n: i32, last: i32) {
  var sum = MOST_SUM;
  var position = 2147483647;
  var slot = -1;
  for (var j = i32(t); j < n; j += 256) {
    let at = u32(j) * 4u;
    let own = loadI(positions + at);
    let bits = loadU(sums + at);
    let value = select(bitcast<f32>(bits), MOST_SUM, bits >= 0x7f800000u);
    if (own <= last && goesFirst(value, own, sum, position)) {
      sum = value;
      position = own;
      slot = j;
    }
  }
  leastSum[t] = sum;
  earliest[t] = position;
  slotOf[t] = slot;
  workgroupBarrier();
  if (t < 16u) {
    for (var x = t * 16u; x < t * 16u + 16u; x += 1u) {
      if (goesFirst(leastSum[x], earliest[x], sum, position) || (x == t * 16u)) {
        sum = leastSum[x];
        position = earliest[x];
        slot = slotOf[x];
      }
    }
  }
  workgroupBarrier();
  if (t < 16u) {
    leastSum[t] = sum;
    earliest[t] = position;
    slotOf[t] = slot;
  }
  workgroupBarrier();
  if (t == 0u) {
    for (var x = 1u; x < 16u; x += 1u) {
      if (goesFirst(leastSum[x], earliest[x], sum, position)) {
        sum = leastSum[x];
        position = earliest[x];
        slot = slotOf[x];
      }
    }
    victim = slot;
  }
}

// Copies the words of a slot over another.
fn moveRow(t: u32, to: u32, origin: u32, words: u32) {
  for (var w = t; w < words; w += 256u) { storeU(to + w * 4u, loadU(origin + w * 4u)); }
}

fn moveSlot(t: u32, batch: i32, h: i32, origin: i32, to: i32) {
  let kBytes = bytesOfType(p.kType);
  let vBytes = bytesOfType(p.vType);
  moveRow(t, p.k + u32(keySlot(batch, h, to)) * kBytes, p.k + u32(keySlot(batch, h, origin)) * kBytes, u32(p.kStrideT) * kBytes / 4u);
  moveRow(t, p.v + u32(valueSlot(batch, h, to)) * vBytes, p.v + u32(valueSlot(batch, h, origin)) * vBytes, u32(p.vStrideT) * vBytes / 4u);
  if (p.kScale == 0u || t > 0u) { return; }
  storeU(p.kScale + scaleSlot(batch, h, to), loadU(p.kScale + scaleSlot(batch, h, origin)));
  storeU(p.vScale + scaleSlot(batch, h, to), loadU(p.vScale + scaleSlot(batch, h, origin)));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let units = p.kvHeads / p.unitHeads;
  let batch = item / units;
  let firstHead = (item - batch * units) * p.unitHeads;
  let endHead = firstHead + p.unitHeads;
  let table = u32(item * p.slots) * 4u;
  let positions = p.positions + table;
  let sums = p.sums + table;
  let weights = p.space + table;
  var n = p.held;
  for (var token = 0; token < p.tokens; token += 1) {
    for (var h = firstHead; h < endHead; h += 1) { putToken(t, batch, h, token, n); }
    if (t == 0u) {
      storeI(positions + u32(n) * 4u, p.start + token);
      storeF(sums + u32(n) * 4u, 0.0);
    }
    storageBarrier();
    workgroupBarrier();
    n += 1;
    let i = token - (p.tokens - p.queries);
    if (i >= 0) {
      if (p.addSums == 0) { for (var j = i32(t); j < n; j += 256) { storeF(sums + u32(j) * 4u, 0.0); } }
      for (var h = firstHead; h < endHead; h += 1) {
        for (var r = 0; r < p.group; r += 1) { attendHead(t, batch, h, r, i, n, weights, sums); }
      }
    }
    if (n <= p.budget) { continue; }
    victimOf(t, sums, positions, n, p.start + token - p.recent);
    let gone = workgroupUniformLoad(&victim);
    n -= 1;
    if (gone != n) {
      for (var h = firstHead; h < endHead; h += 1) { moveSlot(t, batch, h, n, gone); }
      if (t == 0u) {
        storeU(positions + u32(gone) * 4u, loadU(positions + u32(n) * 4u));
        storeU(sums + u32(gone) * 4u, loadU(sums + u32(n) * 4u));
      }
    }
    storageBarrier();
    workgroupBarrier();
  }
}
