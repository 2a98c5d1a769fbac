// The sequences of delta rules.

struct DeltaSequence { batch: i32, start: i32, length: i32 }

var<workgroup> deltaSpan: DeltaSequence;

// Sequence n of the call, the same for the whole workgroup, which must call it together.
fn deltaSequence(n: u32, t: u32) -> DeltaSequence {
  if (t == 0u) {
    if (p.sequences == 0u) {
      deltaSpan = DeltaSequence(i32(n), 0, p.length);
    } else {
      // eight words each: Sequence in assembly/params.ts
      let at = p.sequences + n * 32u;
      deltaSpan = DeltaSequence(loadI(at), loadI(at + 4u), loadI(at + 8u));
    }
  }
  return workgroupUniformLoad(&deltaSpan);
}

// The row of q and o that a row of k has, -1 where it has none.
fn deltaOutput(row: i32) -> i32 {
  if (p.substeps <= 1) { return row; }
  let o = row / p.substeps;
  return select(-1, o, o * p.substeps + p.substeps - 1 == row);
}

// Byte address of the gates before a row, 0 where it has none.
fn deltaGate(batch: i32, row: i32, head: i32) -> u32 {
  var at = row;
  if (p.gateEvery > 1) {
    at = row / p.gateEvery;
    if (at * p.gateEvery != row) { return 0u; }
  }
  return p.g + u32(batch * p.gStrideB + at * p.gStrideT + (head / p.gateGroup) * p.gStrideH) * 4u;
}

// e^g of what is at most a little above 0; also of -Infinity, and of what is behind e^-80 for any use.
fn deltaDecay(g: f32) -> f32 { return select(exp(max(g, -80.0)), 0.0, g < -80.0 || isNegativeInfinity(g)); }

// A number of a head at a row of [B, T, HV] without gaps.
fn deltaNumber(base: u32, batch: i32, row: i32, head: i32) -> f32 {
  return loadF(base + u32((batch * p.length + row) * p.heads + head) * 4u);
}

// Four elements of a row from element i of a tensor on, `left` of which are there; the others are 0.
fn deltaFour(kind: i32, base: u32, i: i32, left: i32) -> vec4f {
  if (left >= 4) {
    if (kind == 0) { return vec4f(loadF(base + u32(i) * 4u), loadF(base + u32(i + 1) * 4u), loadF(base + u32(i + 2) * 4u), loadF(base + u32(i + 3) * 4u)); }
    return vec4f(loadAs(kind, base, i), loadAs(kind, base, i + 1), loadAs(kind, base, i + 2), loadAs(kind, base, i + 3));
  }
  var x = vec4f();
  if (left > 0) { x.x = loadAs(kind, base, i); }
  if (left > 1) { x.y = loadAs(kind, base, i + 1); }
  if (left > 2) { x.z = loadAs(kind, base, i + 2); }
  return x;
}
