//! use score-tile
// The largest product of each row of a tile, and its column: of equals the first one, of none column 0.

const LEAST_SCORE = -3.4028234e38;

var<private> best: array<f32, 8>;
var<private> bestAt: array<u32, 8>;
var<workgroup> bestValues: array<f32, 256>;
var<workgroup> bestColumns: array<u32, 256>;

fn clearBest() {
  for (var r = 0u; r < 8u; r += 1u) {
    best[r] = LEAST_SCORE;
    bestAt[r] = 0u;
  }
}

fn offer(r: u32, value: f32, column: u32) {
  if (value > best[r] || (value == best[r] && column < bestAt[r])) {
    best[r] = value;
    bestAt[r] = column;
  }
}

// Component e of the thread's products, times a sign, less a number, is of a column.
fn offerColumn(e: u32, column: u32, sign: f32, less: f32) {
  offer(0u, s0[e] * sign - less, column);
  offer(1u, s1[e] * sign - less, column);
  offer(2u, s2[e] * sign - less, column);
  offer(3u, s3[e] * sign - less, column);
  if (TALL) {
    offer(4u, s4[e] * sign - less, column);
    offer(5u, s5[e] * sign - less, column);
    offer(6u, s6[e] * sign - less, column);
    offer(7u, s7[e] * sign - less, column);
  }
}

// The column of the thread's row r; every thread takes part.
fn bestOf(t: u32, r: u32) -> u32 {
  workgroupBarrier();
  bestValues[t] = best[r];
  bestColumns[t] = bestAt[r];
  workgroupBarrier();
  var value = LEAST_SCORE;
  var column = 0u;
  for (var n = t & ~15u; n < (t & ~15u) + 16u; n += 1u) {
    if (bestValues[n] > value || (bestValues[n] == value && bestColumns[n] < column)) {
      value = bestValues[n];
      column = bestColumns[n];
    }
  }
  return column;
}
