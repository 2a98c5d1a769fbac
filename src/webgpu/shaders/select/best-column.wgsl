//! use score-tile
// The largest product of each row of a tile, and its column: of equals the first one, of none column 0.

const LEAST_SCORE = -3.4028234e38;

var<private> best: array<f32, ROWS>;
var<private> bestAt: array<u32, ROWS>;
var<workgroup> bestValues: array<f32, 256>;
var<workgroup> bestColumns: array<u32, 256>;

fn clearBest() {
  @unroll for (var r = 0u; r < ROWS; r++) {
    best[r] = LEAST_SCORE;
    bestAt[r] = 0u;
  }
}

// Component e of the thread's products, times a sign, less a number, is of a column.
fn offerColumn(e: u32, column: u32, sign: f32, less: f32) {
  @unroll for (var r = 0u; r < ROWS; r++) {
    let value = products[r][e] * sign - less;
    if (value > best[r] || (value == best[r] && column < bestAt[r])) {
      best[r] = value;
      bestAt[r] = column;
    }
  }
}

// The best column of the sixteen threads of a row, of which each has one; every thread takes part.
fn bestOfRow(t: u32, ownValue: f32, ownColumn: u32) -> u32 {
  workgroupBarrier();
  bestValues[t] = ownValue;
  bestColumns[t] = ownColumn;
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

// Writes the columns of the tile's rows, of those that there are, from an address on.
fn storeBest(t: u32, to: u32) {
  @unroll for (var r = 0u; r < ROWS; r++) {
    let column = bestOfRow(t, best[r], bestAt[r]);
    let row = tileRow(t) + r;
    if ((t & 15u) == 0u && row < rowsLeft) { storeU(to + row * 4u, column); }
  }
}
