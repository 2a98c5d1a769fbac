//! use special
// Ways in which several numbers become one, as assembly/select/reduction.ts numbers them.

const MEAN_KIND = 0;
const MAX_KIND = 2;
const MIN_KIND = 3;
const MOST_FLOAT = 3.4028234e38;

// What a reduction starts from: finite, so that what never was reduced is told by its count.
fn emptyOf(kind: i32) -> f32 {
  if (kind == MAX_KIND) { return -MOST_FLOAT; }
  if (kind == MIN_KIND) { return MOST_FLOAT; }
  return 0.0;
}

// Largest and least pass NaN over.
fn reduced(value: f32, x: f32, kind: i32) -> f32 {
  if (kind == MAX_KIND) { return select(value, x, x > value); }
  if (kind == MIN_KIND) { return select(value, x, x < value); }
  return value + x;
}

// Stores a result; largest and least of nothing, or of nothing but infinities, are infinite.
fn storeReduced(at: u32, value: f32, some: bool, kind: i32) {
  if (kind == MAX_KIND && (!some || value == -MOST_FLOAT)) { storeU(at, NEGATIVE_INFINITY_BITS); return; }
  if (kind == MIN_KIND && (!some || value == MOST_FLOAT)) { storeU(at, 0x7f800000u); return; }
  storeF(at, value);
}
