//! params DepthwiseConv2dParams
//! extra elements: u32
//! use group
// Depthwise convolution of images with zeros around them.
//
//   tensors as of the kernel depthwiseConv2d
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.elements) { return; }
  let pixel = i32(i) / p.channels;
  let c = i32(i) - pixel * p.channels;
  let row = pixel / p.width;
  let x = pixel - row * p.width;
  let y = row % p.height;
  var sum = 0.0;
  if (p.bias != 0u) { sum = loadF(p.bias + u32(c) * 4u); }
  for (var a = 0; a < p.kh; a += 1) {
    let above = y + a - (p.kh - 1) / 2;
    if (above >= 0 && above < p.height) {
      for (var b = 0; b < p.kw; b += 1) {
        let beside = x + b - (p.kw - 1) / 2;
        if (beside >= 0 && beside < p.width) {
          let source = (row + above - y) * p.width + beside;
          sum += loadF(p.weight + u32((a * p.kw + b) * p.channels + c) * 4u) * loadF(p.x + u32(source * p.channels + c) * 4u);
        }
      }
    }
  }
  storeF(p.o + i * 4u, sum);
}
