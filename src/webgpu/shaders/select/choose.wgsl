//! params SelectParams
//! use group, select-span, cut, workgroup-mass
//! const BY_MASS, WHOLE
//! extra fine: u32
// The columns of the highest scores of each row, or with WHOLE of a list: k of them, or BY_MASS the fewest that hold a share of the sum.
//
//   map   f32 [B, L, R, C]        columns contiguous; what a row does not see is not read; below 0 and NaN weigh nothing
//   each  i32 or f32 [B, L, R]    any strides; k or share of each row, of a whole list that of row 0
//   bits  i32 [B, L, R, words]    lists any distance apart; bit j & 31 of word j >> 5 for column j
//
// Equal scores are taken from the left (in a whole list from the first row on), NaN after all others. A share of 1 takes all that is
// visible, and at least p.k columns are taken where there are so many. Sums are whole numbers of 2^-44 of the total.
//
// Workgroup: one row, or one list.

const EVERYTHING = vec2u(0u, 0u);
const NOTHING = vec2u(0xffffffffu, 0u);

var<private> ownList: i32;
var<private> ownRow: i32;
var<private> ownSpan: Span;
var<private> ownAt: u32;

var<workgroup> asked: u32;
var<workgroup> aboveWords: array<atomic<u32>, 32>;
var<workgroup> equalWords: array<atomic<u32>, 32>;

struct Cell { span: Span, j: i32, at: u32 }

// Cell x: a column of the row, or a row and a column of the list.
fn cellOf(x: u32) -> Cell {
  if (!WHOLE) { return Cell(ownSpan, i32(x), ownAt + x * 4u); }
  let i = i32(x) / p.columns;
  let j = i32(x) - i * p.columns;
  return Cell(spanOf(i), j, mapRow(ownList, i) + u32(j) * 4u);
}

fn cellNumber(x: u32) -> u32 {
  let cell = cellOf(x);
  if (!isCandidate(cell.span, cell.j)) { return 0u; }
  return orderedBits(loadU(cell.at));
}

// Weights of forced columns and of candidates, 0 where a cell is neither.
fn cellWeight(x: u32) -> vec2f {
  let cell = cellOf(x);
  let candidate = isCandidate(cell.span, cell.j);
  let forced = p.forced == COUNTED_FORCED && isForced(cell.span, cell.j);
  if (!candidate && !forced) { return vec2f(); }
  let weight = weightOf(loadU(cell.at));
  return select(vec2f(weight, 0.0), vec2f(0.0, weight), candidate);
}

// The cut by mass of `n` candidates; `least` of them are taken in any case.
fn massCut(t: u32, cells: u32, n: i32, least: i32, share: f32) -> vec2u {
  var sum = 0.0;
  for (var x = t; x < cells; x += 256u) {
    let w = cellWeight(x);
    sum += w.x + w.y;
  }
  let scale = massScale(aboutSum(t, sum));
  var forced = vec2u();
  var others = vec2u();
  for (var x = t; x < cells; x += 256u) {
    let w = cellWeight(x);
    forced = plusMass(forced, massUnits(w.x, scale, p.fine), p.fine);
    others = plusMass(others, massUnits(w.y, scale, p.fine), p.fine);
  }
  let sums = sumUnits(t, forced, others, p.fine);
  let before = sums.xy;
  let wanted = shareOf(plusMass(before, sums.zw, p.fine), share, p.fine);
  if (t == 0u) { asked = u32(lessMass(before, wanted)); }
  var cut = NOTHING;
  var taken = 0u;
  if (workgroupUniformLoad(&asked) != 0u) {
    cut = cutMass(t, cells, scale, p.fine, before, wanted);
    taken = countAbove(t, cells, cut.x) + cut.y;
  }
  if (t == 0u) { asked = u32(i32(taken) < least); }
  if (workgroupUniformLoad(&asked) != 0u) {
    if (least >= n) { return EVERYTHING; }
    return cutCount(t, cells, u32(least));
  }
  return cut;
}

// Writes the bits of row i: forced columns and those that the cut takes; `passed` cells equal to it came before. Returns how many are in
// the row.
fn writeRow(t: u32, list: i32, i: i32, cut: vec2u, passed: u32) -> u32 {
  let span = spanOf(i);
  let row = mapRow(list, i);
  let bits = bitsAt(list, i);
  var before = passed;
  for (var w0 = 0; w0 < p.words; w0 += 32) {
    if (t < 32u) {
      atomicStore(&aboveWords[t], 0u);
      atomicStore(&equalWords[t], 0u);
    }
    workgroupBarrier();
    for (var e = 0u; e < 4u; e += 1u) {
      let x = t + e * 256u;
      let j = w0 * 32 + i32(x);
      let bit = 1u << (x & 31u);
      if (isForced(span, j)) { atomicOr(&aboveWords[x >> 5u], bit); }
      if (isCandidate(span, j)) {
        let number = orderedBits(loadU(row + u32(j) * 4u));
        if (number > cut.x) { atomicOr(&aboveWords[x >> 5u], bit); }
        if (number == cut.x) { atomicOr(&equalWords[x >> 5u], bit); }
      }
    }
    workgroupBarrier();
    if (cut.y > 0u) {
      var own = before;
      for (var w = 0u; w < 32u; w += 1u) {
        let count = countOneBits(atomicLoad(&equalWords[w]));
        own += select(0u, count, w < t);
        before += count;
      }
      if (t < 32u && own < cut.y) {
        var equal = atomicLoad(&equalWords[t]);
        var spare = i32(countOneBits(equal)) - i32(cut.y - own);
        for (; spare > 0; spare -= 1) { equal &= ~(1u << firstLeadingBit(equal)); }
        atomicOr(&aboveWords[t], equal);
      }
    }
    if (t < 32u && w0 + i32(t) < p.words) { storeU(bits + u32(w0 + i32(t)) * 4u, atomicLoad(&aboveWords[t])); }
    workgroupBarrier();
  }
  return before;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  var list = item;
  var first = 0;
  var last = p.rows;
  if (!WHOLE) {
    list = item / p.rows;
    first = item - list * p.rows;
    last = first + 1;
  }
  ownList = list;
  ownSpan = spanOf(first);
  ownAt = mapRow(list, first);
  var cells = u32(p.columns);
  if (WHOLE) { cells *= u32(p.rows); } else { cells = u32(ownSpan.end); }
  var n = 0;
  var forced = 0;
  for (var i = first; i < last; i += 1) {
    let span = spanOf(i);
    n += max(0, span.to_ - span.from_);
    forced += span.first + span.end - span.last;
  }
  if (p.forced != COUNTED_FORCED) { forced = 0; }
  if (t == 0u && p.each != 0u) { asked = loadU(eachAt(list, first)); }
  let each = workgroupUniformLoad(&asked);
  var cut = NOTHING;
  if (BY_MASS) {
    let share = select(p.level, bitcast<f32>(each), p.each != 0u);
    if (share >= 1.0) { cut = EVERYTHING; }
    else if (n > 0) { cut = massCut(t, cells, n, p.k - forced, max(share, 0.0)); }
  } else {
    let k = select(p.k, i32(each), p.each != 0u) - forced;
    if (k >= n) { cut = select(NOTHING, EVERYTHING, k > 0); }
    else if (k > 0) { cut = cutCount(t, cells, u32(k)); }
  }
  var passed = 0u;
  for (var i = first; i < last; i += 1) { passed = writeRow(t, list, i, cut, passed); }
}
