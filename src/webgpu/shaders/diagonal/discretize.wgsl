//! use pair-products
// Coefficients of complex diagonal recurrences x_t = a x_{t-1} + b u_t, y_t = Re sum_n c x_t from their eigenvalues and steps.
//
// a is rounded from twice an f32's digits, since it is applied at every step. Powers of a are e^(l size) at an angle of l turns,
// turns in units of 2^-32, whose products with whole numbers lose nothing.

const ZOH = 0;
const BILINEAR = 1;

struct Coefficients {
  a: vec2f,
  // what the input is multiplied by, but for a power of a: the real one is b a^-back
  b: vec2f,
  c: vec2f,
  // ln |a| and the angle of a
  size: f32,
  turns: u32,
  back: i32,
}

fn product2(a: vec2f, b: vec2f) -> vec2f { return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }

// A number of turns in units of 2^-32.
fn turnsOf(angle: vec2f) -> u32 {
  let turns = multiplyPairs(angle, PAIR_TURN);
  let rest = addPairs(turns, vec2f(-round(turns.x), 0.0));
  return bitcast<u32>(i32(clamp(rest.x, -0.49999997, 0.49999997) * 4294967296.0)) + bitcast<u32>(i32(rest.y * 4294967296.0));
}

// Cosine and sine of an angle in units of 2^-32 turns.
fn cis(turns: u32) -> vec2f {
  let quarter = (turns + 0x20000000u) >> 30u;
  let x = f32(bitcast<i32>(turns - (quarter << 30u))) * 1.4629180792671596e-9;
  let s = x * x;
  let sine = x * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0)))));
  let cosine = 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0 + s * (-1.0 / 3628800.0)))));
  switch (quarter) {
    case 0u: { return vec2f(cosine, sine); }
    case 1u: { return vec2f(-sine, cosine); }
    case 2u: { return vec2f(-cosine, -sine); }
    default: { return vec2f(sine, -cosine); }
  }
}

// a^l
fn powerOf(c: Coefficients, l: i32) -> vec2f { return exp(clamp(f32(l) * c.size, -200.0, 88.0)) * cis(c.turns * bitcast<u32>(l)); }

// e^(l z) - 1 of z with these size and turns.
fn powerLess1(z: vec2f, turns: u32, l: i32) -> vec2f {
  let w = f32(l) * z;
  if (abs(w.x) + abs(w.y) < 0.5) {
    var sum = vec2f(1.0, 0.0);
    for (var k = 10; k > 1; k -= 1) { sum = vec2f(1.0, 0.0) + product2(sum, w) / f32(k); }
    return product2(sum, w);
  }
  return exp(clamp(w.x, -200.0, 88.0)) * cis(turns * bitcast<u32>(l)) - vec2f(1.0, 0.0);
}

// The angle of a number: the language's is rough, so it is turned back by it, and the rest is small.
fn angleOf(x: ComplexPair) -> u32 {
  var turns = turnsOf(vec2f(atan2(x.im.x, x.re.x), 0.0));
  for (var i = 0; i < 2; i += 1) {
    let high = f32(bitcast<i32>(turns & 0xffff0000u)) * 2.3283064365386963e-10;
    let low = f32(turns & 0xffffu) * 2.3283064365386963e-10;
    let angle = multiplyPairs(exactSum(high, low), 4.0 * PAIR_QUARTER);
    let unit = exponential(ComplexPair(vec2f(), angle));
    let across = addPairs(multiplyPairs(x.im, unit.re), -multiplyPairs(x.re, unit.im));
    let along = addPairs(multiplyPairs(x.re, unit.re), multiplyPairs(x.im, unit.im));
    turns += turnsOf(dividePairs(across, along));
  }
  return turns;
}

// Coefficients of state n of channel h.
fn coefficientsOf(h: u32, n: u32) -> Coefficients {
  let at = (h * u32(p.states) + n) * 4u;
  let re = loadF(p.aReal + at);
  let im = loadF(p.aImag + at);
  let step = exponential(ComplexPair(vec2f(loadF(p.logDt + h * 4u), 0.0), vec2f())).re;
  let z = ComplexPair(multiplyPairs(step, vec2f(re, 0.0)), multiplyPairs(step, vec2f(im, 0.0)));
  var c: Coefficients;
  c.c = p.factor * vec2f(loadF(p.c + at * 2u), loadF(p.c + at * 2u + 4u));
  if (p.rule == BILINEAR) {
    let x = 0.5 * z.re;
    let y = 0.5 * z.im;
    let one = vec2f(1.0, 0.0);
    let less = addPairs(one, -x);
    let more = addPairs(one, x);
    let yy = multiplyPairs(y, y);
    let below = addPairs(multiplyPairs(less, less), yy);
    let a = ComplexPair(
      dividePairs(addPairs(multiplyPairs(more, less), -yy), below), dividePairs(z.im, below));
    c.a = vec2f(a.re.x, a.im.x);
    c.b = step.x * vec2f(less.x, y.x) / below.x;
    // |a|^2 - 1
    let rest = dividePairs(4.0 * x, below).x;
    let s = rest / (2.0 + rest);
    c.size = 0.5 * select(log(max(dot(c.a, c.a), 1e-37)), oddSeries(s), abs(rest) < 0.5);
    c.turns = angleOf(a);
    return c;
  }
  let a = exponential(z);
  c.a = vec2f(a.re.x, a.im.x);
  c.size = z.re.x;
  c.turns = turnsOf(z.im);
  let small = vec2f(z.re.x, z.im.x);
  if (p.rule == ZOH) {
    let square = re * re + im * im;
    if (square == 0.0) {
      c.b = vec2f(step.x, 0.0);
    } else {
      // by lambda / |lambda| first: squares of small eigenvalues would vanish
      let largest = max(abs(re), abs(im));
      let l = vec2f(re, im) / largest;
      c.b = product2(powerLess1(small, c.turns, 1), vec2f(l.x, -l.y)) / (dot(l, l) * largest);
    }
    return c;
  }
  // growing states are normalised from the last step backwards
  let sign = select(1, -1, re > 0.0);
  let x = product2(powerLess1(small, c.turns, sign * p.span), vec2f(re, im));
  c.b = product2(powerLess1(small, c.turns, sign), vec2f(x.x, -x.y)) / (dot(x, x) + p.eps);
  c.back = select(0, p.span - 1, re > 0.0);
  return c;
}

// 2 artanh s
fn oddSeries(s: f32) -> f32 {
  let s2 = s * s;
  return 2.0 * s * (1.0 + s2 * (1.0 / 3.0 + s2 * (0.2 + s2 * (1.0 / 7.0 + s2 * (1.0 / 9.0 + s2 * (1.0 / 11.0 + s2 * (1.0 / 13.0)))))));
}
