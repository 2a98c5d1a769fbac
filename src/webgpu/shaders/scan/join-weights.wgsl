// Sums of exponentials relative to references, one for each sum.

// The reference of a sum of nothing.
const EMPTY = -1e38;

// What the first and the second of two sums are multiplied by where they become one, relative to the larger reference, of which the
// second's is `ahead` above the first's.
fn joinWeights(ahead: f32) -> vec2f {
  let weight = exp(-min(abs(ahead), 200.0));
  return select(vec2f(1.0, weight), vec2f(weight, 1.0), ahead > 0.0);
}
