// Elements in storage types, as storageOf numbers them: 0 f32, 1 f16, 2 bf16, 3 i8.

fn bytesOfType(kind: i32) -> u32 {
  switch kind {
    case 0: { return 4u; }
    case 3: { return 1u; }
    default: { return 2u; }
  }
}

fn halfFromBits(bits: u32) -> f32 { return unpack2x16float(bits).x; }

fn loadByte(at: u32) -> u32 { return (loadU(at & ~3u) >> ((at & 3u) * 8u)) & 255u; }

// The i-th element from a byte address on, as f32; codes of i8 are not scaled.
fn loadAs(kind: i32, base: u32, i: i32) -> f32 {
  let index = u32(i);
  switch kind {
    case 0: { return loadF(base + index * 4u); }
    case 1: {
      let at = base + index * 2u;
      return halfFromBits((loadU(at & ~3u) >> ((at & 2u) * 8u)) & 0xffffu);
    }
    case 2: {
      let at = base + index * 2u;
      return bitcast<f32>(((loadU(at & ~3u) >> ((at & 2u) * 8u)) & 0xffffu) << 16u);
    }
    default: {
      let at = base + index;
      return f32(bitcast<i32>(loadU(at & ~3u) << ((3u - (at & 3u)) * 8u)) >> 24u);
    }
  }
}
