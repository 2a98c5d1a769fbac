//! use activation
// Four elements of a row of o from column c on, c a multiple of four: o = activation(x + bias) inside the matrix.

fn storeOutput(row: u32, c: u32, x: vec4f) {
  var y = x;
  if (p.bias != 0u) {
    for (var j = 0u; j < 4u; j++) { y[j] += loadF(p.bias + min(c + j, u32(p.n) - 1u) * 4u); }
  }
  storeSome(row + c * 4u, activate(y, p.activation), p.n - i32(c));
}
