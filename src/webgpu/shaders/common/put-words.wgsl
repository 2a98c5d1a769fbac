// The first n of four floats, `step` bytes apart.

fn get4(at: u32, step: u32, n: u32) -> vec4f {
  var x = vec4f();
  if (n > 0u) { x.x = loadF(at); }
  if (n > 1u) { x.y = loadF(at + step); }
  if (n > 2u) { x.z = loadF(at + 2u * step); }
  if (n > 3u) { x.w = loadF(at + 3u * step); }
  return x;
}

fn put4(at: u32, step: u32, x: vec4f, n: u32) {
  if (n > 0u) { storeF(at, x.x); }
  if (n > 1u) { storeF(at + step, x.y); }
  if (n > 2u) { storeF(at + 2u * step, x.z); }
  if (n > 3u) { storeF(at + 3u * step, x.w); }
}
