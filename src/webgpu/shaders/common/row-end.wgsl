//! use score-rules
// The end of a softmax row: sink, logarithm, what becomes of what o and lse hold.

struct RowEnd { lse: f32, seen: bool, inverse: f32, keep: f32 }

// Closes a row whose scores have reference m in log2 units (HIDDEN where no key was seen) and weights of sum l; base is what
// keyBiasBase took from all scores.
fn closeRow(h: i32, m: f32, l: f32, base: vec2f) -> RowEnd {
  var top = m;
  var sum = l;
  var weight = 1.0;
  if (p.sinks != 0u) {
    let given = loadF(p.sinks + u32(h) * 4u);
    let sink = select((given - base.x - base.y) * LOG2E, HIDDEN, isNegativeInfinity(given));
    top = max(m, sink);
    weight = weightOf(m, top);
    sum = l * weight + weightOf(sink, top);
  }
  let seen = !isHidden(top);
  let none = isHidden(top) || sum == 0.0;
  let lse = top * LN2 + log(max(sum, 1e-37)) + base.x + base.y;
  return RowEnd(select(lse, 0.0, none), !none, select(weight / sum, 0.0, none), select(0.0, 1.0, p.accumulate != 0));
}

// e^(x - base) of a logarithm that is -Infinity where it is not seen.
fn shareOf(x: f32, seen: bool, base: f32) -> f32 { return select(0.0, exp2(max((x - base) * LOG2E, -200.0)), seen); }

// Joins a row with the result over other keys that o and the lse at address `at` hold, where that is asked for.
fn joinRow(end: RowEnd, at: u32) -> RowEnd {
  if (p.accumulate < 2) { return end; }
  let before = loadF(at);
  let had = !isNegativeInfinity(before);
  var base = select(end.lse, before, had && (!end.seen || before > end.lse));
  let old = shareOf(before, had, base);
  let now = shareOf(end.lse, end.seen, base);
  let sum = old + now;
  let inverse = select(0.0, 1.0 / sum, sum != 0.0);
  return RowEnd(base + log(max(sum, 1e-37)), had || end.seen, end.inverse * now * inverse, old * inverse);
}

// The bits of an lse as it is written.
fn lseBits(end: RowEnd) -> u32 { return select(NEGATIVE_INFINITY_BITS, bitcast<u32>(end.lse), end.seen); }
