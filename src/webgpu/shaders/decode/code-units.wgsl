//! use attended-head, coded-rows
//! const TURNED
// Units of keys and values as attend-keys loads them, where the oldest tokens are codes and the newest floats: four elements. Keys of codes
// may be turned (TURNED) by the angles of their places once they are widened (KVQuant, Hooper 2024).

var<private> kRows: CodedRows;
var<private> vRows: CodedRows;
// tokens that are codes
var<private> coded: vec2i;

fn prepareUnits(number: u32) {
  kRows = codedRowsAt(p.kRows);
  vRows = codedRowsAt(p.vRows);
  coded = vec2i(loadI(p.coded + number * 8u), loadI(p.coded + number * 8u + 4u));
}
fn keyPlace(j: i32) -> u32 { return u32(j); }
fn valuePlace(j: i32) -> u32 { return u32(j); }

fn turnedKey(j: i32, c4: i32) -> vec4f {
  var x = codedVector(kRows, sequence.batch, kvHead, j, c4);
  let half = p.rotated >> 1u;
  var y = vec4f(x.y, x.x, x.w, x.z);
  if (p.interleaved == 0) {
    if ((half & 3) == 0 && c4 < p.rotated) {
      y = codedVector(kRows, sequence.batch, kvHead, j, select(c4 - half, c4 + half, c4 < half));
    } else {
      for (var e = 0; e < 4; e++) {
        let c = c4 + e;
        if (c < p.rotated) {
          let other = select(c - half, c + half, c < half);
          let z = codedVector(kRows, sequence.batch, kvHead, j, other & ~3);
          var chosen = z.x;
          if ((other & 3) == 1) { chosen = z.y; }
          if ((other & 3) == 2) { chosen = z.z; }
          if ((other & 3) == 3) { chosen = z.w; }
          y[e] = chosen;
        }
      }
    }
  }
  for (var e = 0; e < 4; e++) {
    let c = c4 + e;
    if (c < p.rotated) {
      let isFirst = select(c < half, (c & 1) == 0, p.interleaved != 0);
      let pair = select(select(c - half, c, c < half), c >> 1u, p.interleaved != 0);
      let at = u32(j * half + pair) * 4u;
      let sine = loadF(p.sin + at);
      x[e] = x[e] * loadF(p.cos + at) + y[e] * select(sine, -sine, isFirst);
    }
  }
  return x;
}

fn keyUnit(row: u32, rest: u32, u: u32) -> array<vec4f, 4> {
  let j = i32(row);
  var x = vec4f();
  if (j >= coded.x) {
    let at = sequence.batch * p.kStrideB + (j - coded.x) * p.kStrideT + kvHead * p.kStrideH;
    x = elements4(0, p.k + u32(at) * 4u, i32(u) * 4, p.dk);
  } else if (TURNED) {
    x = turnedKey(j, i32(u) * 4);
  } else {
    x = codedVector(kRows, sequence.batch, kvHead, j, i32(u) * 4);
  }
  return array<vec4f, 4>(x, vec4f(), vec4f(), vec4f());
}

fn valueUnit(row: u32, u: u32) -> array<vec4f, 4> {
  let j = i32(row);
  var x = vec4f();
  if (j >= coded.y) {
    let at = sequence.batch * p.vStrideB + (j - coded.y) * p.vStrideT + kvHead * p.vStrideH;
    x = elements4(0, p.v + u32(at) * 4u, i32(u) * 4, p.dv);
  } else {
    x = codedVector(vRows, sequence.batch, kvHead, j, i32(u) * 4);
  }
  return array<vec4f, 4>(x, vec4f(), vec4f(), vec4f());
}
