// Numbers of a chunk's tokens.

// (factor on k, factor on q with the scale, beta, factor on a), 0 behind the last token
var<workgroup> factors: array<vec4f, C>;
var<workgroup> squares: array<vec2f, NT>;

// Threads that share a row.
const PER = NT / C;

fn openFactors(c: DeltaChunk, head: i32, t: u32) {
  let row = t / PER;
  let there = i32(row) < c.length;
  let at = c.start + i32(row);
  if (p.normalized != 0) {
    var sum = vec2f();
    if (there) {
      let k = deltaKeys(c.batch, head);
      let q = deltaQueries(c.batch, head);
      for (var d = i32(t % PER) * 4; d < p.dk; d += i32(PER) * 4) {
        let x = deltaFour(k.kind, k.base, k.at + at * k.stride + d, p.dk - d);
        var y = vec4f();
        if (p.q != 0u) { y = deltaFour(q.kind, q.base, q.at + at * q.stride + d, p.dk - d); }
        sum += vec2f(dot(x, x), dot(y, y));
      }
    }
    squares[t] = sum;
    workgroupBarrier();
  }
  if (t % PER == 0u) {
    var x = vec4f();
    if (there) {
      var beta = 1.0;
      if (p.weight != 0u) { beta = deltaNumber(p.weight, c.batch, at, head); }
      x = vec4f(1.0, p.scale, beta, 1.0);
      if (p.normalized != 0) {
        var sum = vec2f();
        for (var n = 0u; n < PER; n += 1u) { sum += squares[t + n]; }
        x.x = 1.0 / sqrt(sum.x + p.normEpsilon);
        x.y = p.scale / sqrt(sum.y + p.normEpsilon);
      }
      if (!ERASES) { x.w = x.x; }
    }
    factors[row] = x;
  }
  workgroupBarrier();
}

// Four elements from d on of four rows from `row` on of a chunk, turned: 0 where there is none.
fn fourByFour(x: DeltaRows, c: DeltaChunk, row: u32, d: i32) -> mat4x4f {
  var y = mat4x4f();
  if (x.base == 0u || d >= p.dk) { return y; }
  @unroll-guarded for (var r = 0u; r < 4u; r++) {
    if (i32(row + r) < c.length) { y[r] = deltaFour(x.kind, x.base, x.at + (c.start + i32(row + r)) * x.stride + d, p.dk - d); }
  }
  return transpose(y);
}
