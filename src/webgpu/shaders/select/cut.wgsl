//! use ordered, mass
// Where a descending order of the cells of a row is cut, by 256 threads that count (or weigh) digit by digit of the numbers of floats.
// The shader gives the cells:
//
//   fn cellNumber(x: u32) -> u32   orderedBits of cell x, 0 where it is no candidate
//
// A cut is vec2u(number, ties): all numbers above it are taken, and the first `ties` that equal it.

const COUNT_BITS = 11u;
const MASS_BITS = 9u;

var<workgroup> bins: array<atomic<u32>, 2048>;
var<workgroup> slices: array<vec2u, 256>;
var<workgroup> groups16: array<vec2u, 16>;
var<workgroup> digit: vec4u;
var<workgroup> counted: atomic<u32>;

// Whether a number begins with the digits that are known, all of them above `shift` + `bits`.
fn hasPrefix(number: u32, prefix: u32, top: u32) -> bool { return top >= 32u || (number >> top) == prefix; }

// The cut behind the `wanted` largest, of which there must be so many; the same in all threads.
fn cutCount(t: u32, cells: u32, wanted: u32) -> vec2u {
  var prefix = 0u;
  var left = wanted;
  var top = 32u;
  for (var round = 0u; round < 3u; round += 1u) {
    let bits = min(COUNT_BITS, top);
    let shift = top - bits;
    let mask = (1u << bits) - 1u;
    for (var b = t; b < 2048u; b += 256u) { atomicStore(&bins[b], 0u); }
    workgroupBarrier();
    for (var x = t; x < cells; x += 256u) {
      let number = cellNumber(x);
      if (number != 0u && hasPrefix(number, prefix, top)) { atomicAdd(&bins[(number >> shift) & mask], 1u); }
    }
    workgroupBarrier();
    var own = 0u;
    for (var b = 0u; b < 8u; b += 1u) { own += atomicLoad(&bins[2047u - t * 8u - b]); }
    slices[t] = vec2u(own, 0u);
    workgroupBarrier();
    if (t < 16u) {
      var sum = 0u;
      for (var n = 0u; n < 16u; n += 1u) { sum += slices[t * 16u + n].x; }
      groups16[t] = vec2u(sum, 0u);
    }
    workgroupBarrier();
    var before = 0u;
    for (var n = 0u; n < (t >> 4u); n += 1u) { before += groups16[n].x; }
    for (var n = t & ~15u; n < t; n += 1u) { before += slices[n].x; }
    if (before < left && left <= before + own) {
      for (var b = 0u; b < 8u; b += 1u) {
        let bin = 2047u - t * 8u - b;
        let count = atomicLoad(&bins[bin]);
        if (left <= before + count) {
          digit = vec4u(bin, left - before, 0u, 0u);
          break;
        }
        before += count;
      }
    }
    let found = workgroupUniformLoad(&digit);
    prefix = (prefix << bits) | found.x;
    left = found.y;
    top = shift;
  }
  return vec2u(prefix, left);
}

// The cut behind the fewest of the largest that bring `before` to `wanted`, which is more, and no more than all bring.
fn cutMass(t: u32, cells: u32, scale: f32, fine: u32, before: vec2u, wanted: vec2u) -> vec2u {
  var prefix = 0u;
  var left = minusMass(wanted, before, fine);
  var top = 32u;
  for (var round = 0u; round < 4u; round += 1u) {
    let bits = min(MASS_BITS, top);
    let shift = top - bits;
    let mask = (1u << bits) - 1u;
    for (var b = t; b < 1024u; b += 256u) { atomicStore(&bins[b], 0u); }
    workgroupBarrier();
    for (var x = t; x < cells; x += 256u) {
      let number = cellNumber(x);
      // what is not above 0 weighs nothing
      if (number > 0x80000000u && hasPrefix(number, prefix, top)) {
        let units = massUnits(weightOf(number & 0x7fffffffu), scale, fine);
        let bin = (number >> shift) & mask;
        atomicAdd(&bins[bin * 2u], units.x);
        atomicAdd(&bins[bin * 2u + 1u], units.y);
      }
    }
    workgroupBarrier();
    var own = vec2u();
    for (var b = 0u; b < 2u; b += 1u) {
      let bin = 511u - t * 2u - b;
      own = plusMass(own, carried(vec2u(atomicLoad(&bins[bin * 2u]), atomicLoad(&bins[bin * 2u + 1u])), fine), fine);
    }
    slices[t] = own;
    workgroupBarrier();
    if (t < 16u) {
      var sum = vec2u();
      for (var n = 0u; n < 16u; n += 1u) { sum = plusMass(sum, slices[t * 16u + n], fine); }
      groups16[t] = sum;
    }
    workgroupBarrier();
    var above = vec2u();
    for (var n = 0u; n < (t >> 4u); n += 1u) { above = plusMass(above, groups16[n], fine); }
    for (var n = t & ~15u; n < t; n += 1u) { above = plusMass(above, slices[n], fine); }
    if (lessMass(above, left) && !lessMass(plusMass(above, own, fine), left)) {
      for (var b = 0u; b < 2u; b += 1u) {
        let bin = 511u - t * 2u - b;
        let sum = plusMass(above, carried(vec2u(atomicLoad(&bins[bin * 2u]), atomicLoad(&bins[bin * 2u + 1u])), fine), fine);
        if (!lessMass(sum, left)) {
          let rest = minusMass(left, above, fine);
          digit = vec4u(bin, rest.x, rest.y, 0u);
          break;
        }
        above = sum;
      }
    }
    let found = workgroupUniformLoad(&digit);
    prefix = (prefix << bits) | found.x;
    left = found.yz;
    top = shift;
  }
  let unit = carried(massUnits(weightOf(prefix & 0x7fffffffu), scale, fine), fine);
  return vec2u(prefix, timesToReach(left, unit, fine));
}

// How many cells are above a number.
fn countAbove(t: u32, cells: u32, number: u32) -> u32 {
  if (t == 0u) { atomicStore(&counted, 0u); }
  workgroupBarrier();
  var own = 0u;
  for (var x = t; x < cells; x += 256u) { own += u32(cellNumber(x) > number); }
  atomicAdd(&counted, own);
  workgroupBarrier();
  let count = atomicLoad(&counted);
  workgroupBarrier();
  return count;
}
