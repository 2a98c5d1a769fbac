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

// The row of g that a row of k has, -1 where it has none.
fn deltaGate(row: i32) -> i32 {
  if (p.gateEvery <= 1) { return row; }
  let g = row / p.gateEvery;
  return select(-1, g, g * p.gateEvery == row);
}

// e^g of what is at most a little above 0; also of -Infinity, and of what is behind e^-80 for any use.
fn deltaDecay(g: f32) -> f32 { return select(exp(max(g, -80.0)), 0.0, g < -80.0 || isNegativeInfinity(g)); }

// A number of a head at a row of [B, T, HV] without gaps.
fn deltaNumber(base: u32, batch: i32, row: i32, head: i32) -> f32 {
  return loadF(base + u32((batch * p.length + row) * p.heads + head) * 4u);
}

// Four elements of a row from element i of a tensor on, `left` of which are there; the others are 0.
fn deltaFour(kind: i32, base: u32, i: i32, left: i32) -> vec4f {
  if (kind == 0 && left >= 4) { return loadF4(base + u32(i) * 4u); }
  var x = vec4f();
  for (var e = 0; e < min(left, 4); e += 1) { x[e] = loadAs(kind, base, i + e); }
  return x;
}

// Where a tensor's rows of a head lie.
struct DeltaRows { base: u32, kind: i32, at: i32, stride: i32 }

fn deltaKeys(batch: i32, head: i32) -> DeltaRows {
  return DeltaRows(p.k, p.kType, batch * p.kStrideB + (head / p.keyGroup) * p.kStrideH, p.kStrideT);
}

fn deltaQueries(batch: i32, head: i32) -> DeltaRows {
  return DeltaRows(p.q, p.qType, batch * p.qStrideB + (head / p.group) * p.qStrideH, p.qStrideT);
}

fn deltaErasers(batch: i32, head: i32) -> DeltaRows {
  return DeltaRows(p.a, p.aType, batch * p.aStrideB + (head / p.aGroup) * p.aStrideH, p.aStrideT);
}

fn deltaAlong(batch: i32, head: i32) -> DeltaRows {
  return DeltaRows(p.b, p.bType, batch * p.bStrideB + (head / p.bGroup) * p.bStrideH, p.bStrideT);
}

fn deltaGates(batch: i32, head: i32) -> DeltaRows {
  return DeltaRows(p.g, 0, batch * p.gStrideB + (head / p.gateGroup) * p.gStrideH, p.gStrideT);
}
