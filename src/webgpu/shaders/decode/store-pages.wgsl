//! params StorePagesParams
//! use group, round-bits
//! const D
// Puts keys and values of tokens into pages, each a run of rows of one head: see assembly/elementwise/store-pages.ts for the operands.
// Rows are whole words. The scale of an i8 row is chosen as there; sums are in another order, so that of two units which miss a row
// by all but the same either may be taken.
//
// Workgroup: one row, of keys or of values.

const TRIALS = 41u;
const LONG_ROW_TRIALS = 9u;
const SHORT_ROW = 32;
const STEP = 1.0 / 80.0;
// 2^-100 and infinity
const LEAST_BITS = 0x0d800000u;
const INFINITY_BITS = 0x7f800000u;

var<workgroup> row: array<f32, D>;
var<workgroup> largest: atomic<u32>;
var<workgroup> missed: array<f32, TRIALS>;
var<workgroup> scales: array<f32, TRIALS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = groupIndex(wg, grid);
  if (index >= p.groups) { return; }
  let isValue = (index & 1u) == 1u;
  let h = i32(index >> 1u) % p.heads;
  let token = i32(index >> 1u) / p.heads;
  let slot = p.first + token;
  let span = slot / p.pageSize;
  let within = slot - span * p.pageSize;
  let page = u32(loadI(p.table + u32(h * p.tableStrideH + span) * 4u));
  var x = p.k + u32(token * p.kStrideT + h * p.kStrideH) * 4u;
  if (isValue) { x = p.v + u32(token * p.vStrideT + h * p.vStrideH) * 4u; }
  let shifted = p.shift != 0u && !isValue;
  let d = u32(p.d);
  for (var c = t; c < d; c += 64u) {
    var y = loadF(x + c * 4u);
    if (shifted) { y -= loadF(p.shift + (u32(h) * d + c) * 4u); }
    row[c] = y;
    if (p.type_ == 3) { atomicMax(&largest, bitcast<u32>(y) & 0x7fffffffu); }
  }
  workgroupBarrier();
  let at = page * u32(p.rowStride) + u32(within) * d;
  let rows = select(p.kRows, p.vRows, isValue);
  if (p.type_ == 0) {
    for (var c = t; c < d; c += 64u) { storeF(rows + (at + c) * 4u, row[c]); }
  } else if (p.type_ != 3) {
    for (var c = t * 2u; c < d; c += 128u) {
      let pair = bitcast<vec2u>(vec2f(row[c], row[c + 1u]));
      var word = roundedHalf(pair.x) | (roundedHalf(pair.y) << 16u);
      if (p.type_ == 2) { word = roundedBfloat(pair.x) | (roundedBfloat(pair.y) << 16u); }
      storeU(rows + (at + c) * 2u, word);
    }
  }
  if (p.type_ != 3) { return; }

  let bits = atomicLoad(&largest);
  let scaleAt = select(p.kScale, p.vScale, isValue) + (page * u32(p.scaleStride) + u32(within)) * 4u;
  let least = bitcast<f32>(bits) / 127.0;
  let usable = bits >= LEAST_BITS && bits < INFINITY_BITS;
  let trials = select(LONG_ROW_TRIALS, TRIALS, p.d <= SHORT_ROW);
  // with y = x / unit, codes c = round(y) and rests r = y - c the best scale is unit * (1 + r c / c c)
  if (t < trials && usable) {
    let growth = 1.0 + f32(t) * STEP;
    let unit = least * growth;
    let inverse = 1.0 / unit;
    var rr = 0.0;
    var rc = 0.0;
    var cc = 0.0;
    for (var c = 0u; c < d; c++) {
      let y = row[c] * inverse;
      let code = round(y);
      let rest = y - code;
      rr += rest * rest;
      rc += rest * code;
      cc += code * code;
    }
    missed[t] = (rr - (rc / cc) * rc) * (growth * growth);
    scales[t] = unit + unit * (rc / cc);
  }
  workgroupBarrier();
  var best = 0u;
  if (usable) {
    for (var i = 1u; i < trials; i++) { best = select(best, i, missed[i] < missed[best]); }
  }
  let inverse = 1.0 / (least * (1.0 + f32(best) * STEP));
  for (var c = t * 4u; c < d; c += 256u) {
    // a row with NaN or an infinity has such a scale and codes of 1: nothing of it comes back finite
    var word = select(0x01010101u, 0u, bits < LEAST_BITS);
    if (usable) {
      let codes = vec4i(round(vec4f(row[c], row[c + 1u], row[c + 2u], row[c + 3u]) * inverse));
      let parts = bitcast<vec4u>(clamp(codes, vec4i(-128), vec4i(127))) & vec4u(255u);
      word = parts.x | (parts.y << 8u) | (parts.z << 16u) | (parts.w << 24u);
    }
    storeU(rows + at + c, word);
  }
  if (t == 0u) { storeU(scaleAt, select(select(bits, 0u, bits < LEAST_BITS), bitcast<u32>(scales[best]), usable)); }
}
