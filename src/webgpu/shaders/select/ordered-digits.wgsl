// A stable order by one digit of eight bits, by one workgroup of 256. The shader gives
//
//   fn itemAt(i: u32) -> u32       what is at place i
//   fn digitOf(item: u32) -> u32   0 to 255

// for each digit, which of 256 places have it
var<workgroup> having: array<atomic<u32>, 2048>;
// next free place of each digit
var<workgroup> places: array<atomic<u32>, 256>;
var<workgroup> sums16: array<u32, 16>;

fn sortByDigit(t: u32, n: u32, to: u32) {
  atomicStore(&places[t], 0u);
  workgroupBarrier();
  for (var i = t; i < n; i += 256u) { atomicAdd(&places[digitOf(itemAt(i))], 1u); }
  workgroupBarrier();
  if (t < 16u) {
    var sum = 0u;
    for (var d = 0u; d < 16u; d += 1u) { sum += atomicLoad(&places[t * 16u + d]); }
    sums16[t] = sum;
  }
  workgroupBarrier();
  var before = 0u;
  for (var d = 0u; d < (t >> 4u); d += 1u) { before += sums16[d]; }
  for (var d = t & ~15u; d < t; d += 1u) { before += atomicLoad(&places[d]); }
  workgroupBarrier();
  atomicStore(&places[t], before);
  for (var first = 0u; first < n; first += 256u) {
    for (var w = t; w < 2048u; w += 256u) { atomicStore(&having[w], 0u); }
    workgroupBarrier();
    let i = first + t;
    var item = 0u;
    var digit = 0u;
    if (i < n) {
      item = itemAt(i);
      digit = digitOf(item);
      atomicOr(&having[digit * 8u + (t >> 5u)], 1u << (t & 31u));
    }
    workgroupBarrier();
    var rank = 0u;
    if (i < n) {
      for (var w = 0u; w < (t >> 5u); w += 1u) { rank += countOneBits(atomicLoad(&having[digit * 8u + w])); }
      rank += countOneBits(atomicLoad(&having[digit * 8u + (t >> 5u)]) & ((1u << (t & 31u)) - 1u));
      storeU(to + (atomicLoad(&places[digit]) + rank) * 4u, item);
    }
    workgroupBarrier();
    var own = 0u;
    for (var w = 0u; w < 8u; w += 1u) { own += countOneBits(atomicLoad(&having[t * 8u + w])); }
    atomicAdd(&places[t], own);
    workgroupBarrier();
  }
}
