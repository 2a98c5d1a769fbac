//! use ordered-digits
// The stable order of tokens by labels: those of a label in their own order, those with a label outside [0, labelCount()) behind all
// others. The shader gives
//
//   fn labelsOf(item: u32) -> u32   address of the labels of list `item`
//   fn labelCount() -> u32, fn tokenCount() -> u32

var<private> ownLabels: u32;
var<private> ownFrom: u32;
var<private> ownShift: u32;

fn labelAt(labels: u32, token: u32) -> u32 { return min(loadU(labels + token * 4u), labelCount()); }

fn itemAt(i: u32) -> u32 {
  if (ownFrom == 0u) { return i; }
  return loadU(ownFrom + i * 4u);
}

fn digitOf(item: u32) -> u32 { return (labelAt(ownLabels, item) >> ownShift) & 255u; }

// One digit, by a workgroup of 256: from u32 [lists, T], the order by the digits below (0: that of the tokens), to the same.
fn sortList(t: u32, item: u32, from_: u32, to: u32, shift: u32) {
  ownLabels = labelsOf(item);
  ownFrom = select(0u, from_ + item * tokenCount() * 4u, from_ != 0u);
  ownShift = shift;
  sortByDigit(t, tokenCount(), to + item * tokenCount() * 4u);
}

// What place i of a list's order, from 0 to T, says of offsets i32 [lists, labels + 1]: the labels that begin there.
fn writeOffsets(item: u32, i: u32, orders: u32, offsets: u32) {
  let labels = labelsOf(item);
  let order = orders + item * tokenCount() * 4u;
  var begin = 0u;
  if (i > 0u) { begin = labelAt(labels, loadU(order + (i - 1u) * 4u)) + 1u; }
  var end = labelCount();
  if (i < tokenCount()) { end = labelAt(labels, loadU(order + i * 4u)); }
  for (var c = begin; c <= end; c += 1u) { storeU(offsets + (item * (labelCount() + 1u) + c) * 4u, i); }
}
