// Maxima and sums over the TN neighbouring threads that share a thread's rows, through workgroup memory.

var<workgroup> lanes: array<vec4f, NT>;

fn lanesMax(x: vec4f, t: u32) -> vec4f {
  workgroupBarrier();
  lanes[t] = x;
  workgroupBarrier();
  let first = t - t % TN;
  var y = lanes[first];
  for (var b = 1u; b < TN; b += 1u) { y = max(y, lanes[first + b]); }
  return y;
}
fn lanesSum(x: vec4f, t: u32) -> vec4f {
  workgroupBarrier();
  lanes[t] = x;
  workgroupBarrier();
  let first = t - t % TN;
  var y = lanes[first];
  for (var b = 1u; b < TN; b += 1u) { y += lanes[first + b]; }
  return y;
}
