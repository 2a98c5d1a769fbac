//! params PathBlocksParams
//! extra tiles: u32
//! use group, sequence
//! const PARTS
// Keys carried on from the end of their block to the end of its span, and the transitions of whole spans.
//
//   kSpan      f32 [Hkv, blocks][dk][64]   C_e ... C_{b+1} kBlock of block b, e the span's last; not of a sequence's last span
//   carrySpan  f32 [Hkv, spans][dk][dk4]   C_e ... C_s, s the span's first
//
// Workgroup: one block of one head and 16 columns of its keys, or, of a span's first block, of its transition; they pass through all
// transitions behind them. Thread: 4 columns and 4 rows of every 64. PARTS: those 64 rows of dk.

// [dk][16]
var<workgroup> columns: array<vec4f, PARTS * 256u>;
// sequence: its batch is its number
var<workgroup> span: Sequence;

fn matrixBytes() -> u32 { return u32(p.dk) * ((u32(p.dk) + 7u) & ~7u) * 4u; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let wide = u32(p.dk + 3) & ~3u;
  let dk = u32(p.dk);
  let unit = i32(group / p.tiles);
  let part = group % p.tiles;
  let h = unit / p.blocks;
  let packed = unit - h * p.blocks;
  if (t == 0u) {
    let index = sequenceOfBlock(packed);
    span = sequenceAt(index);
    span.batch = i32(index);
  }
  let s = workgroupUniformLoad(&span);
  let block = packed - s.packBlock;
  let end = (block / p.spanBlocks + 1) * p.spanBlocks;
  let transition = part >= 4u;
  // a sequence's last span is not passed by any query
  if (end * 64 >= s.kLength || (transition && block % p.spanBlocks != 0)) { return; }
  let carries = p.carryBlock + u32(h * p.blocks + s.packBlock) * matrixBytes();
  let tm = t / 4u;
  let tn = t % 4u;
  let first = select(part, part - 4u, transition) * 16u + tn * 4u;
  let source = select(p.kBlock + u32(unit) * dk * 256u, carries + u32(block) * matrixBytes(), transition);
  let step = select(256u, wide * 4u, transition);
  let there = !transition || first < wide;
  for (var d = tm; d < dk; d += 16u) {
    var x = vec4f();
    if (there) { x = loadF4(source + d * step + first * 4u); }
    columns[d * 4u + tn] = x;
  }
  for (var b = block + 1; b < end; b += 1) {
    let c = carries + u32(b) * matrixBytes();
    var y = array<vec4f, PARTS * 4u>();
    workgroupBarrier();
    @unroll for (var n = 0u; n < PARTS; n++) {
      let d = n * 64u + tm * 4u;
      var y0 = vec4f();
      var y1 = vec4f();
      var y2 = vec4f();
      var y3 = vec4f();
      let row = c + min(d, dk - 1u) * wide * 4u;
      let row1 = c + min(d + 1u, dk - 1u) * wide * 4u;
      let row2 = c + min(d + 2u, dk - 1u) * wide * 4u;
      let row3 = c + min(d + 3u, dk - 1u) * wide * 4u;
      for (var e = 0u; e < dk; e += 1u) {
        let x = columns[e * 4u + tn];
        y0 += x * loadF(row + e * 4u);
        y1 += x * loadF(row1 + e * 4u);
        y2 += x * loadF(row2 + e * 4u);
        y3 += x * loadF(row3 + e * 4u);
      }
      y[n * 4u] = y0;
      y[n * 4u + 1u] = y1;
      y[n * 4u + 2u] = y2;
      y[n * 4u + 3u] = y3;
    }
    workgroupBarrier();
    @unroll for (var n = 0u; n < PARTS; n++) {
      let d = n * 64u + tm * 4u;
      @unroll for (var e = 0u; e < 4u; e++) { if (d + e < dk) { columns[(d + e) * 4u + tn] = y[n * 4u + e]; } }
    }
  }
  workgroupBarrier();
  if (!there) { return; }
  let place = u32(h * p.spans + s.packBlock / p.spanBlocks + s.batch + block / p.spanBlocks);
  let to = select(p.kSpan + u32(unit) * dk * 256u, p.carrySpan + place * matrixBytes(), transition);
  for (var d = tm; d < dk; d += 16u) { storeF4(to + d * step + first * 4u, columns[d * 4u + tn]); }
}
