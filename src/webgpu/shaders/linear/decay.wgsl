// e^x as accurate as an f32 can show: decays are multiplied over thousands of tokens, and a built-in's error would be too.

// 1 - e^r for |r| <= ln 2 / 2.
fn fallNear(r: vec4f) -> vec4f {
  var y = vec4f(1.0 / 5040.0);
  y = fma(y, r, vec4f(1.0 / 720.0));
  y = fma(y, r, vec4f(1.0 / 120.0));
  y = fma(y, r, vec4f(1.0 / 24.0));
  y = fma(y, r, vec4f(1.0 / 6.0));
  y = fma(y, r, vec4f(0.5));
  return -fma(y * r, r, r);
}

// What is left of x in units of ln 2 beside the whole number n.
fn beside(x: vec4f, n: vec4f) -> vec4f {
  return fma(n, vec4f(2.1219444e-4), fma(n, vec4f(-0.693359375), x));
}

fn wholePower(n: vec4f) -> vec4f {
  let e = max(vec4i(n), vec4i(-127));
  return bitcast<vec4f>(vec4u(e + 127) << vec4u(23u));
}

// e^x; 0 where it would be less than the least normal f32, and no more than e^88.
fn decay4(x: vec4f) -> vec4f {
  let y = clamp(x, vec4f(-100.0), vec4f(88.0));
  let n = round(y * 1.4426950408889634);
  return (1.0 - fallNear(beside(y, n))) * wholePower(n);
}

// 1 - e^x without the loss of digits that a slow decay would mean.
fn fall4(x: vec4f) -> vec4f {
  let y = clamp(x, vec4f(-100.0), vec4f(88.0));
  let n = round(y * 1.4426950408889634);
  let fall = fallNear(beside(y, n));
  return select(1.0 - (1.0 - fall) * wholePower(n), fall, n == vec4f());
}
