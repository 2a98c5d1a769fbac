//! params FlashPackParams
//! use group, cache-rows
// Keys and values of blocks of 64 keys in the order in which flash reads them, zero behind a sequence's end.
//
//   k, kRest, v, kScale, vScale   as on WebAssembly (assembly/flash/pack.ts): any storage, strides, pages
//   kPack  f32 [Hkv, blocks, dk, 64]         elements of 64 keys side by side
//   vPack  f32 [Hkv, blocks, 64, ceil8(dv)]
//
// Without kPack only values are packed, without vPack only keys. kNorms, a bound that only WebAssembly uses, is left alone.
// Workgroup: one (block, head). Keys go through a tile of 64 x 32, so that both sides are read and written in runs.

var<workgroup> tile: array<f32, 64u * 33u>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let block = i32(group) / p.kvHeads;
  let h = i32(group) - block * p.kvHeads;
  let s = sequenceAt(sequenceOfBlock(block));
  let first = (block - s.packBlock) * 64;
  let packed = u32(h * p.blocks + block);

  if (p.kPack != 0u) {
    let keys = p.kPack + packed * u32(p.dk) * 256u;
    let own = p.dk - p.kRestDim;
    for (var d0 = 0; d0 < p.dk; d0 += 32) {
      workgroupBarrier();
      for (var n = 0u; n < 8u; n += 1u) {
        let j = n * 8u + t / 32u;
        let c = d0 + i32(t % 32u);
        let key = first + i32(j);
        var x = 0.0;
        if (key < s.kLength && c < p.dk) {
          if (c < own) {
            x = loadAs(p.kType, keyRow(s, key, h), c);
            if (p.kScale != 0u) { x *= loadF(p.kScale + scaleAt(s, key, h)); }
          } else {
            x = loadAs(p.kType, restRow(s, key), c - own);
          }
        }
        tile[j * 33u + t % 32u] = x;
      }
      workgroupBarrier();
      for (var n = 0u; n < 8u; n += 1u) {
        let c = n * 4u + t / 64u;
        if (d0 + i32(c) < p.dk) { storeF(keys + ((u32(d0) + c) * 64u + t % 64u) * 4u, tile[(t % 64u) * 33u + c]); }
      }
    }
  }
  if (p.vPack != 0u) {
    let width = (u32(p.dv) + 7u) & ~7u;
    let values = p.vPack + packed * width * 256u;
    for (var i = t; i < 64u * width; i += 256u) {
      let key = first + i32(i / width);
      let c = i32(i % width);
      var x = 0.0;
      if (key < s.kLength && c < p.dv) {
        x = loadAs(p.vType, valueRow(s, key, h), c);
        if (p.vScale != 0u) { x *= loadF(p.vScale + scaleAt(s, key, h)); }
      }
      storeF(values + i * 4u, x);
    }
  }
}
