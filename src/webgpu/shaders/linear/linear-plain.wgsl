// What linear-prepare-body leaves open: products count as they are, and a chunk's decay is written for every row of the state.

fn openLevels(c: Chunk, head: u32, t: u32) {}

fn levels4(i: u32, j: u32) -> vec4f { return vec4f(1.0); }

fn closeChunk(group: u32, t: u32, high: f32, low: f32) {
  let decay = decay4(vec4f(high)) * (1.0 + low);
  for (var k = t * 4u; k < p.kp; k += 512u) { storeF4(p.decays + (group * p.kp + k) * 4u, decay); }
}
