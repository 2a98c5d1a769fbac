/** A value's place among all f32, counted from zero. */
function place(x: f32): i64 {
  const bits = reinterpret<u32>(x);
  const magnitude = <i64>(bits & 0x7fffffff);
  return bits >> 31 ? -magnitude : magnitude;
}

/** Steps between neighbouring f32 from the exact value, correctly rounded, to `got`; 0 for NaN where NaN is due. */
export function ulpSteps(got: f32, exact: f64): i64 {
  if (isNaN(exact) || isNaN(got)) return isNaN(exact) && isNaN(got) ? 0 : i64.MAX_VALUE;
  return abs(place(got) - place(<f32>exact));
}
