//! use storage, round-bits, special
// Rows that go into slots, for SlotParams, by a workgroup of 256.

// Rows whose largest element is below this are taken for zeros: 127 / max |x| must be finite.
const LEAST_ROW = 1e-35;

var<workgroup> partValues: array<f32, 256>;
var<workgroup> groupValues: array<f32, 16>;

fn maxOfAll(t: u32, x: f32) -> f32 {
  partValues[t] = x;
  workgroupBarrier();
  if (t < 16u) {
    var most = partValues[t * 16u];
    for (var n = 1u; n < 16u; n += 1u) { most = max(most, partValues[t * 16u + n]); }
    groupValues[t] = most;
  }
  workgroupBarrier();
  var most = groupValues[0];
  for (var n = 1u; n < 16u; n += 1u) { most = max(most, groupValues[n]); }
  workgroupBarrier();
  return most;
}

fn sumOfAll(t: u32, x: f32) -> f32 {
  partValues[t] = x;
  workgroupBarrier();
  if (t < 16u) {
    var sum = 0.0;
    for (var n = 0u; n < 16u; n += 1u) { sum += partValues[t * 16u + n]; }
    groupValues[t] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var n = 0u; n < 16u; n += 1u) { sum += groupValues[n]; }
  workgroupBarrier();
  return sum;
}

// Index of the first element of slot j of the keys, values, and scales of key/value head h.
fn keySlot(batch: i32, h: i32, j: i32) -> i32 { return batch * p.kStrideB + j * p.kStrideT + h * p.kStrideH; }
fn valueSlot(batch: i32, h: i32, j: i32) -> i32 { return batch * p.vStrideB + j * p.vStrideT + h * p.vStrideH; }
fn scaleSlot(batch: i32, h: i32, j: i32) -> u32 {
  return u32(batch * p.scaleStrideB + j * p.scaleStrideT + h * p.scaleStrideH) * 4u;
}

// x[d], from element `first` on, in the slot's type, zeros up to its width; i8 slots get a scale.
fn putRow(t: u32, x: u32, xType: i32, first: i32, slot: u32, kind: i32, d: i32, width: i32, scale: u32) {
  var factor = 0.0;
  if (kind == 3) {
    var most = 0.0;
    for (var c = i32(t); c < d; c += 256) {
      let bits = bitcast<u32>(loadAs(xType, x, first + c)) & 0x7fffffffu;
      // what is not finite counts as more than all that is
      most = max(most, select(bitcast<f32>(bits), 3.4e38, bits >= 0x7f800000u));
    }
    most = maxOfAll(t, most);
    if (most >= 3.4e38) {
      if (t == 0u) { storeU(scale, NAN_BITS); }
    } else {
      if (most >= LEAST_ROW) { factor = 127.0 / most; }
      if (t == 0u) { storeF(scale, select(0.0, most / 127.0, most >= LEAST_ROW)); }
    }
  }
  let each = 4 / i32(bytesOfType(kind));
  for (var w = i32(t); w * each < width; w += 256) {
    var word = 0u;
    for (var e = 0; e < each; e += 1) {
      let c = w * each + e;
      if (c >= d) { break; }
      let value = loadAs(xType, x, first + c);
      let bits = bitcast<u32>(value);
      switch kind {
        case 0: { word = bits; }
        case 1: { word |= roundedHalf(bits) << u32(e * 16); }
        case 2: { word |= roundedBfloat(bits) << u32(e * 16); }
        default: { if (factor > 0.0) { word |= (bitcast<u32>(i32(round(value * factor))) & 255u) << u32(e * 8); } }
      }
    }
    storeU(slot + u32(w) * 4u, word);
  }
}

// Puts key and value `token` of the new tokens of key/value head h into slot j.
fn putToken(t: u32, batch: i32, h: i32, token: i32, j: i32) {
  let scale = scaleSlot(batch, h, j);
  putRow(t, p.newK, p.newKType, batch * p.newKStrideB + token * p.newKStrideT + h * p.newKStrideH,
    p.k + u32(keySlot(batch, h, j)) * bytesOfType(p.kType), p.kType, p.dk, p.kStrideT, p.kScale + scale);
  putRow(t, p.newV, p.newVType, batch * p.newVStrideB + token * p.newVStrideT + h * p.newVStrideH,
    p.v + u32(valueSlot(batch, h, j)) * bytesOfType(p.vType), p.vType, p.dv, p.vStrideT, p.vScale + scale);
}
