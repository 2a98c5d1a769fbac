//! params LinearParams
//! extra strips: u32, zFrom: u32
//! use group, storage, decay
//! const ROWS, IN_MEMORY
// Token by token: S = diag(a) S diag(b) + weight k v, o = scale q S + own v over the denominator, as LinearParams says. For single
// tokens, short sequences and gates of columns.
//
//   zFrom   f32 [N, HV, strips, K]   the sums of keys before, for each group its own, which it may write
//
// Group: a sequence, head and 16 columns, 256 threads; a thread has one column of every sixteenth row: ROWS of them in registers, or
// with IN_MEMORY any number where the state goes.

const COLUMNS = 16u;
const LANES = 16u;
const BLOCK = 8u;

var<workgroup> sequenceLength: u32;
var<workgroup> sums: array<f32, 2048>;
// of a token and lane: q z, q u k, q
var<workgroup> zSums: array<f32, 128>;
var<workgroup> ownSums: array<f32, 128>;
var<workgroup> qSums: array<f32, 128>;

fn denominator(sum: f32, qSum: f32, token: u32) -> f32 {
  switch p.normalizer {
    case 1: { return sum + p.epsilon; }
    case 2: { return max(sum, p.epsilon); }
    case 3: { return max(abs(sum), decay4(vec4f(-loadF(p.m + token))).x) + p.epsilon; }
    default: { return sum + p.epsilon * qSum; }
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let pair = group / p.strips;
  let strip = group - pair * p.strips;
  let heads = u32(p.heads);
  let n = pair / heads;
  let head = i32(pair - n * heads);
  var batch = i32(n);
  var start = 0;
  var many = u32(p.length);
  if (p.sequences != 0u) {
    batch = loadI(p.sequences + n * 32u);
    start = loadI(p.sequences + n * 32u + 4u);
    many = loadU(p.sequences + n * 32u + 8u);
  }
  if (t == 0u) { sequenceLength = many; }
  let length = workgroupUniformLoad(&sequenceLength);

  let dk = u32(p.dk);
  let lane = t / COLUMNS;
  let v = strip * COLUMNS + t % COLUMNS;
  let there = v < u32(p.dv);
  let keyHead = head / p.group;
  let gateHead = head / p.gateGroup;
  let keeps = strip == 0u && t % COLUMNS == 0u;
  let rows = select((dk + LANES - 1u) / LANES, ROWS, !IN_MEMORY);
  let exclusive = p.exclusive != 0;
  let inAt = i32(n) * p.inStrideN + head * p.inStrideH + i32(v) * p.inStrideV;
  let outAt = i32(n) * p.stateStrideN + head * p.stateStrideH + i32(v) * p.stateStrideV;

  var state: array<f32, ROWS>;
  var keys: array<f32, ROWS>;
  var total: array<f32, ROWS>;
  for (var m = 0u; m < rows; m += 1u) {
    let k = lane + m * LANES;
    var s = 0.0;
    if (k < dk && there && p.stateIn != 0u) { s = loadF(p.stateIn + u32(inAt + i32(k) * p.inStrideK) * 4u); }
    var z = 0.0;
    if (p.normalizer != 0 && k < dk) { z = loadF(p.zFrom + (group * dk + k) * 4u); }
    if (IN_MEMORY) {
      if (k < dk && there) { storeF(p.stateOut + u32(outAt + i32(k) * p.stateStrideK) * 4u, s); }
      if (k < dk && keeps && p.decayOut != 0u) { storeF(p.decayOut + (pair * dk + k) * 4u, 1.0); }
    } else {
      state[m] = s;
      keys[m] = z;
      total[m] = 1.0;
    }
  }

  for (var first = 0u; first < length; first += BLOCK) {
    for (var b = 0u; b < BLOCK; b += 1u) {
      if (first + b >= length) { break; }
      let row = start + i32(first + b);
      let token = u32((batch * p.length + row) * p.heads + head) * 4u;
      let qRow = batch * p.qStrideB + row * p.qStrideT + keyHead * p.qStrideH;
      let kRow = batch * p.kStrideB + row * p.kStrideT + keyHead * p.kStrideH;
      let gRow = batch * p.gStrideB + row * p.gStrideT + gateHead * p.gStrideH;
      var value = 0.0;
      var decayV = 1.0;
      if (there) {
        value = loadAs(p.vType, p.v, batch * p.vStrideB + row * p.vStrideT + head * p.vStrideH + i32(v));
        if (p.gv != 0u) {
          decayV = loadF(p.gv + u32(batch * p.gvStrideB + row * p.gvStrideT + head * p.gvStrideH + i32(v)) * 4u);
          if (p.gateLinear == 0) { decayV = decay4(vec4f(decayV)).x; }
        }
      }
      var weight = 1.0;
      if (p.weight != 0u) { weight = loadF(p.weight + token); }
      var gate = 0.0;
      var decay = 1.0;
      if (p.gateKind == 1) {
        gate = loadF(p.g + u32(gRow) * 4u);
        decay = gate;
        if (p.gateLinear == 0) { decay = decay4(vec4f(gate)).x; }
      }
      var o = 0.0;
      var qz = 0.0;
      var quk = 0.0;
      var qs = 0.0;
      for (var m = 0u; m < rows; m += 1u) {
        let k = lane + m * LANES;
        if (k >= dk) { continue; }
        var q = 0.0;
        if (p.q != 0u) { q = loadAs(p.qType, p.q, qRow + i32(k)); }
        if (p.gateKind == 2) {
          gate = loadF(p.g + u32(gRow + i32(k)) * 4u);
          decay = gate;
          if (p.gateLinear == 0) { decay = decay4(vec4f(gate)).x; }
        }
        var key: f32;
        if (p.tied == 0) {
          key = loadAs(p.kType, p.k, kRow + i32(k));
        } else if (p.gateLinear != 0) {
          key = 1.0 - decay;
        } else {
          key = fall4(vec4f(gate)).x;
        }
        var u = 1.0;
        if (p.bonus != 0u) { u = loadF(p.bonus + u32(keyHead * p.bonusStrideH + i32(k)) * 4u); }
        quk += q * u * key;
        qs += q;
        let fresh = weight * key;
        let at = p.stateOut + u32(outAt + i32(k) * p.stateStrideK) * 4u;
        var s = 0.0;
        if (IN_MEMORY) {
          if (there) { s = loadF(at); }
        } else {
          s = state[m];
        }
        let after = fma(decay * decayV, s, fresh * value);
        o += q * select(after, s, exclusive);
        if (IN_MEMORY) {
          if (there) { storeF(at, after); }
        } else {
          state[m] = after;
        }
        if (p.normalizer != 0 && t % COLUMNS == 0u) {
          let place = p.zFrom + (group * dk + k) * 4u;
          var z = 0.0;
          if (IN_MEMORY) { z = loadF(place); } else { z = keys[m]; }
          let zAfter = fma(decay, z, fresh);
          qz += q * select(zAfter, z, exclusive);
          if (IN_MEMORY) { storeF(place, zAfter); } else { keys[m] = zAfter; }
        }
        if (p.decayOut != 0u) {
          if (!IN_MEMORY) {
            total[m] *= decay;
          } else if (keeps) {
            let place = p.decayOut + (pair * dk + k) * 4u;
            storeF(place, loadF(place) * decay);
          }
        }
      }
      sums[b * 256u + t] = o;
      if (t % COLUMNS == 0u) {
        zSums[b * LANES + lane] = qz;
        ownSums[b * LANES + lane] = quk;
        qSums[b * LANES + lane] = qs;
      }
    }
    workgroupBarrier();
    let b = t / COLUMNS;
    if (p.o != 0u && b < BLOCK && first + b < length && there) {
      let row = start + i32(first + b);
      let token = u32((batch * p.length + row) * p.heads + head) * 4u;
      var o = 0.0;
      var qz = 0.0;
      var quk = 0.0;
      var qs = 0.0;
      for (var i = 0u; i < LANES; i += 1u) {
        o += sums[b * 256u + i * COLUMNS + t % COLUMNS];
        qz += zSums[b * LANES + i];
        quk += ownSums[b * LANES + i];
        qs += qSums[b * LANES + i];
      }
      var own = 0.0;
      if (p.skip != 0u) { own = loadF(p.skip + u32(head) * 4u); }
      if (p.bonusSigmoid != 0) {
        own += 1.0 / (1.0 + exp(min(-quk, 88.0)));
      } else if (p.bonus != 0u || p.bonusScalar != 0u) {
        var factor = p.scale;
        if (p.bonusScalar != 0u) { factor *= loadF(p.bonusScalar + token); }
        own += factor * quk;
      }
      let value = loadAs(p.vType, p.v, batch * p.vStrideB + row * p.vStrideT + head * p.vStrideH + i32(v));
      var x = fma(own, value, o * p.scale);
      if (p.normalizer != 0) { x /= denominator(qz * p.scale, qs * p.scale, token); }
      storeF(p.o + u32(batch * p.oStrideB + row * p.oStrideT + head * p.oStrideH + i32(v)) * 4u, x);
    }
    workgroupBarrier();
  }
  for (var m = 0u; m < rows; m += 1u) {
    let k = lane + m * LANES;
    if (k >= dk) { continue; }
    if (IN_MEMORY) {
      if (keeps && p.normalizer != 0) {
        storeF(p.zOut + (pair * dk + k) * 4u, loadF(p.zFrom + (group * dk + k) * 4u));
      }
      continue;
    }
    if (there) { storeF(p.stateOut + u32(outAt + i32(k) * p.stateStrideK) * 4u, state[m]); }
    if (keeps && p.normalizer != 0) { storeF(p.zOut + (pair * dk + k) * 4u, keys[m]); }
    if (keeps && p.decayOut != 0u) { storeF(p.decayOut + (pair * dk + k) * 4u, total[m]); }
  }
}
