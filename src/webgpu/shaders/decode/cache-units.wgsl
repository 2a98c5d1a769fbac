//! use attended-head
//! const K_TYPE, K_WIDE, K_VECTORS, V_TYPE, V_WIDE, V_VECTORS
// Units of keys and values as attend-keys loads them, from rows in memory: 16 bytes; or, where rows lie apart, begin at odd places or end
// within 16 bytes (K_WIDE, V_WIDE false), four elements one by one.

fn prepareUnits(number: u32) {}
fn keyPlace(j: i32) -> u32 { return keyRow(sequence, j, kvHead); }
fn valuePlace(j: i32) -> u32 { return valueRow(sequence, j, kvHead); }

// Unit u of a key.
fn keyUnit(row: u32, rest: u32, u: u32) -> array<vec4f, 4> {
  let own = p.dk - p.kRestDim;
  if (K_WIDE) {
    let ownUnits = u32(own) / (4u * K_VECTORS);
    return widened(K_TYPE, select(row + u * 16u, rest + (u - ownUnits) * 16u, u >= ownUnits));
  }
  var x = vec4f();
  for (var e = 0; e < 4; e++) {
    let c = i32(u) * 4 + e;
    if (c < own) { x[e] = loadAs(i32(K_TYPE), row, c); } else if (c < p.dk) { x[e] = loadAs(i32(K_TYPE), rest, c - own); }
  }
  return array<vec4f, 4>(x, vec4f(), vec4f(), vec4f());
}

// Unit u of a value: V_VECTORS vectors.
fn valueUnit(row: u32, u: u32) -> array<vec4f, 4> {
  if (!V_WIDE) { return array<vec4f, 4>(elements4(i32(V_TYPE), row, i32(u) * 4, p.dv), vec4f(), vec4f(), vec4f()); }
  if (V_TYPE == 0u || (V_TYPE < 3u && V_VECTORS == 2u) || V_VECTORS == 4u) { return widened(V_TYPE, row + u * 16u); }
  if (V_TYPE == 3u) {
    let at = row + u * 4u * V_VECTORS;
    var second = 0u;
    if (V_VECTORS == 2u) { second = loadU(at + 4u); }
    return array<vec4f, 4>(bytes4(loadU(at)), bytes4(second), vec4f(), vec4f());
  }
  let at = row + u * 8u;
  let a = loadU(at);
  let b = loadU(at + 4u);
  var x = halves(a, b);
  if (V_TYPE == 2u) { x = bfloats(a, b); }
  return array<vec4f, 4>(x, vec4f(), vec4f(), vec4f());
}
