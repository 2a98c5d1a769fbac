//! use special
//! const ROWS, LANES
// Query rows of attend-lanes for keys of 8 bits, as 256 high + low of 8 bits each: a row's largest element is 127 * 257, and products with keys are
// exact, by packed dot products.

const LARGEST = 32639.0;

var<private> high: array<vec4u, ROWS>;
var<private> low: array<vec4u, ROWS>;
// what a code of each row stands for
var<private> unit: array<f32, ROWS>;

fn keepQuery(r: u32, x: array<vec4f, 4>) {
  var most = 0.0;
  var broken = 0u;
  @unroll for (var e = 0u; e < 4u; e++) {
    let size = abs(x[e]);
    most = max(most, max(max(size.x, size.y), max(size.z, size.w)));
    @unroll for (var c = 0u; c < 4u; c++) { broken |= u32(isInfiniteOrNaN(x[e][c])); }
  }
  for (var b = 1u; b < LANES; b = b << 1u) {
    most = max(most, subgroupShuffleXor(most, b));
    broken |= subgroupShuffleXor(broken, b);
  }
  let inverse = select(0.0, LARGEST / most, most > 0.0 && broken == 0u);
  @unroll for (var e = 0u; e < 4u; e++) {
    let code = vec4i(round(x[e] * inverse));
    let upper = (code + 128) >> vec4u(8u);
    high[r][e] = pack4xI8(upper);
    low[r][e] = pack4xI8(code - upper * 256);
  }
  unit[r] = bitcast<f32>(select(bitcast<u32>(most / LARGEST), NAN_BITS, broken != 0u));
}

// This thread's share of a query row's product with a key, of which it has the unit `key`.
fn productOf(r: u32, key: vec4u) -> f32 {
  var upper = 0;
  var lower = 0;
  @unroll for (var e = 0u; e < 4u; e++) {
    upper += dot4I8Packed(high[r][e], key[e]);
    lower += dot4I8Packed(low[r][e], key[e]);
  }
  return f32(upper * 256 + lower) * unit[r];
}
