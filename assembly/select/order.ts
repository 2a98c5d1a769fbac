// Floats in their order: neighbours, and numbers between two.

/** The next float above x. */
export function nextAbove(x: f32): f32 {
  if (x == 0) return reinterpret<f32>(1);
  const bits = reinterpret<i32>(x);
  return x == Infinity ? x : reinterpret<f32>(x > 0 ? bits + 1 : bits - 1);
}

/** The next float below x. */
export function nextBelow(x: f32): f32 {
  return -nextAbove(-x);
}

/** Number of a float in the order of all floats, and the float of a number. */
// @ts-ignore: decorator
@inline
function ordered(bits: i32): i32 {
  return bits >= 0 ? bits : bits ^ 0x7fffffff;
}

/** A float with about as many floats between it and a as between it and b. */
export function middle(a: f32, b: f32): f32 {
  const sum = <i64>ordered(reinterpret<i32>(a)) + <i64>ordered(reinterpret<i32>(b));
  return reinterpret<f32>(ordered(<i32>(sum >> 1)));
}

/** A float inside (a, b), as near to t as there is one; a and b must not be neighbours. */
export function between(a: f32, b: f32, t: f32): f32 {
  if (t > a && t < b) return t;
  return t >= b ? nextBelow(b) : nextAbove(a);
}

/** A float inside (a, b), both 0 or more, with about a share of the floats between them below it; they must not be neighbours. */
export function partWay(a: f32, b: f32, share: f32): f32 {
  const low = reinterpret<i32>(a);
  const span = reinterpret<i32>(b) - low;
  return reinterpret<f32>(low + min(span - 1, max(1, <i32>(<f64>span * <f64>share))));
}
