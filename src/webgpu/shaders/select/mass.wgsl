// Sums of weights as whole numbers, so that their order does not matter: a weight is high * 2^fine + low units, of which the sum of a
// row has 2^29 * 2^fine or more, up to four times as many. `fine` is as much as n sums of low parts leave room for.
//
// A number is vec2u(low, high), low below 2^fine once it is carried.

// What weights are multiplied by: a power of two that brings `total` (about the sum) to 2^29 to 2^30.
fn massScale(total: f32) -> f32 {
  let exponent = (bitcast<u32>(total) >> 23u) & 255u;
  // more than there are numbers for: room for many of the largest
  if (exponent == 255u) { return bitcast<f32>(15u << 23u); }
  return bitcast<f32>(min(254u, 283u - exponent) << 23u);
}

// Weights below 0 and NaN weigh nothing, infinite ones as much as all others.
fn weightOf(bits: u32) -> f32 {
  if (bits > 0x7f800000u) { return 0.0; }
  return bitcast<f32>(min(bits, 0x7f7fffffu));
}

fn massUnits(weight: f32, scale: f32, fine: u32) -> vec2u {
  let y = min(weight * scale, 2147483520.0);
  let high = floor(y);
  return vec2u(u32((y - high) * f32(1u << fine) + 0.5), u32(high));
}

fn carried(x: vec2u, fine: u32) -> vec2u { return vec2u(x.x & ((1u << fine) - 1u), x.y + (x.x >> fine)); }

fn plusMass(a: vec2u, b: vec2u, fine: u32) -> vec2u { return carried(a + b, fine); }

fn lessMass(a: vec2u, b: vec2u) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }

// a - b of carried numbers, b at most a.
fn minusMass(a: vec2u, b: vec2u, fine: u32) -> vec2u {
  let borrow = u32(a.x < b.x);
  return vec2u(a.x + (borrow << fine) - b.x, a.y - borrow - b.y);
}

// a b as vec2u(low, high) of 32 bits each.
fn mulWide(a: u32, b: u32) -> vec2u {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let low = a0 * b0;
  let m = a1 * b0 + (low >> 16u);
  let n = a0 * b1 + (m & 0xffffu);
  return vec2u((n << 16u) | (low & 0xffffu), a1 * b1 + (m >> 16u) + (n >> 16u));
}

// The least number of units that is at least a share (from 0 to below 1) of a carried number.
fn shareOf(total: vec2u, share: f32, fine: u32) -> vec2u {
  let m = u32(share * 2147483648.0);
  let low = (total.y << fine) | total.x;
  let high = total.y >> (32u - fine);
  let a = mulWide(low, m);
  let b = mulWide(high, m);
  let middle = a.y + b.x;
  let top = b.y + u32(middle < a.y);
  var r0 = (a.x >> 31u) | (middle << 1u);
  var r1 = (middle >> 31u) | (top << 1u);
  if ((a.x & 0x7fffffffu) != 0u) {
    r0 += 1u;
    r1 += u32(r0 == 0u);
  }
  return vec2u(r0 & ((1u << fine) - 1u), (r0 >> fine) | (r1 << (32u - fine)));
}

// Times a whole number, as vec2u(low, high) of 32 bits each.
fn timesMass(x: vec2u, times: u32, fine: u32) -> vec2u {
  let a = mulWide((x.y << fine) | x.x, times);
  return vec2u(a.x, a.y + (x.y >> (32u - fine)) * times);
}

// How many equal weights of `unit` units reach `wanted`, at least 1.
fn timesToReach(wanted: vec2u, unit: vec2u, fine: u32) -> u32 {
  let whole = vec2u((wanted.y << fine) | wanted.x, wanted.y >> (32u - fine));
  let ratio = (f32(wanted.y) + f32(wanted.x) / f32(1u << fine)) / (f32(unit.y) + f32(unit.x) / f32(1u << fine));
  var times = max(1u, u32(min(ratio, 1073741824.0)));
  // a rounding may have made the quotient too large or too small by a few
  for (var n = 0u; n < 64u && times > 1u && !lessMass(timesMass(unit, times - 1u, fine), whole); n += 1u) { times -= 1u; }
  for (var n = 0u; n < 64u && lessMass(timesMass(unit, times, fine), whole); n += 1u) { times += 1u; }
  return times;
}
