//! use storage
// Rows of codes of 4 or 2 bits: see assembly/decode/codes/layout.ts and CodedRows.
//
//   keys    u16 [d / 2][4][2]               lane (key & 3, channel & 1), code key >> 2
//   values  u16 [d / tokens][tokens / 2][4][2]   lane (channel & 3, token & 1), code (channel % tokens) >> 2
//
// So a word holds the codes of one token (every fourth of a block) and two channels, or of two tokens and one channel (every fourth).

struct CodedRows {
  codes: u32, codeStrideB: i32, codeStrideBlock: i32, codeStrideH: i32,
  scale: u32, offset: u32, scaleStrideB: i32, scaleStrideBlock: i32, scaleStrideH: i32,
  codebook: u32, outlierIndex: u32, outlierValue: u32, outlierStrideB: i32, outlierStrideBlock: i32, outlierStrideH: i32, slots: i32,
  bits: u32, values: i32, byChannel: i32, group: i32, d: i32,
  pageTable: u32, pageBlocks: i32, pagesPerSequence: i32,
}

fn codedRowsAt(at: u32) -> CodedRows {
  return CodedRows(
    loadU(at), loadI(at + 4u), loadI(at + 8u), loadI(at + 12u),
    loadU(at + 16u), loadU(at + 20u), loadI(at + 24u), loadI(at + 28u), loadI(at + 32u),
    loadU(at + 36u), loadU(at + 40u), loadU(at + 44u), loadI(at + 48u), loadI(at + 52u), loadI(at + 56u), loadI(at + 60u),
    loadU(at + 64u), loadI(at + 68u), loadI(at + 72u), loadI(at + 76u), loadI(at + 80u),
    loadU(at + 84u), loadI(at + 88u), loadI(at + 92u),
  );
}

// log2 of the tokens of a block.
fn blockShift(c: CodedRows) -> u32 { return 6u - (c.bits >> 1u); }

// What is subtracted from a code of whole numbers before it is multiplied by the scale.
fn middleOf(c: CodedRows) -> i32 { return select(i32(1u << (c.bits - 1u)), 0, c.offset != 0u || c.codebook != 0u); }

// What is turned over in a field of a lane: the highest bit of the last one.
fn turnOf(c: CodedRows, field: u32) -> u32 {
  return select(0u, 1u << (c.bits - 1u), field == (1u << (blockShift(c) - 2u)) - 1u);
}

// Batch entry or page that holds a block, and the block's place in it.
fn blockPlace(c: CodedRows, batch: i32, block: i32) -> vec2i {
  if (c.pageTable == 0u) { return vec2i(batch, block); }
  let index = block / c.pageBlocks;
  return vec2i(loadI(c.pageTable + u32(batch * c.pagesPerSequence + index) * 4u), block - index * c.pageBlocks);
}

// Address of a block of codes.
fn codesAt(c: CodedRows, place: vec2i, h: i32) -> u32 {
  return c.codes + u32(place.x) * u32(c.codeStrideB) + u32(place.y) * u32(c.codeStrideBlock) + u32(h * c.codeStrideH);
}

// Bytes from the start of scale and offset to the numbers of a block.
fn scalesOffset(c: CodedRows, place: vec2i, h: i32) -> u32 {
  let span = select(place.y, (place.y << blockShift(c)) / c.group, c.byChannel != 0);
  return (u32(place.x) * u32(c.scaleStrideB) + u32(span) * u32(c.scaleStrideBlock) + u32(h * c.scaleStrideH)) * 4u;
}

// Bytes from a block's numbers on to those of row r and a channel.
fn scaleOffset(c: CodedRows, r: u32, channel: i32) -> u32 {
  if (c.byChannel != 0) { return u32(channel) * 4u; }
  return ((u32(channel / c.group) << blockShift(c)) + r) * 4u;
}

// Bytes from the start of the outliers to those of row r of a block.
fn outliersOffset(c: CodedRows, place: vec2i, h: i32, r: u32) -> u32 {
  let at = u32(place.x) * u32(c.outlierStrideB) + u32(place.y) * u32(c.outlierStrideBlock);
  return (at + u32(h * c.outlierStrideH) + r * u32(c.slots)) * 4u;
}

// Codes of row r and channels [c4, c4 + 4), c4 a multiple of four.
fn codesOf(c: CodedRows, block: u32, r: u32, c4: u32) -> vec4u {
  let shift = blockShift(c);
  var lanes = vec4u();
  var field = 0u;
  if (c.values != 0) {
    lanes = loadU4(block + ((c4 >> shift) << (shift + 3u)) + (r >> 1u) * 16u) >> vec4u((r & 1u) * 16u);
    field = (c4 & ((1u << shift) - 1u)) >> 2u;
  } else {
    let at = block + (c4 >> 1u) * 16u + (r & 3u) * 4u;
    let low = loadU(at);
    let high = loadU(at + 16u);
    lanes = vec4u(low, low >> 16u, high, high >> 16u);
    field = r >> 2u;
  }
  return ((lanes >> vec4u(field * c.bits)) & vec4u((1u << c.bits) - 1u)) ^ vec4u(turnOf(c, field));
}

// Elements of token j and channels [c4, c4 + 4) without what outliers add; zeros behind d.
fn codedLevels(c: CodedRows, batch: i32, h: i32, j: i32, c4: i32) -> vec4f {
  let shift = blockShift(c);
  let r = u32(j) & ((1u << shift) - 1u);
  let place = blockPlace(c, batch, j >> shift);
  let codes = codesOf(c, codesAt(c, place, h), r, u32(c4));
  let scales = scalesOffset(c, place, h);
  let middle = middleOf(c);
  var levels = vec4f(bitcast<vec4i>(codes) - vec4i(middle));
  if (c.codebook != 0u) {
    for (var e = 0; e < 4; e++) { levels[e] = loadF(c.codebook + codes[e] * 4u); }
  }
  // groups of channels are whole units of codes, so that four channels have one number of their token
  var at = scales + scaleOffset(c, r, c4);
  var scale = vec4f(loadF(c.scale + at));
  var offset = vec4f();
  if (c.offset != 0u) { offset = vec4f(loadF(c.offset + at)); }
  if (c.byChannel != 0) {
    for (var e = 1; e < 4; e++) {
      at += select(0u, 4u, c4 + e < c.d);
      scale[e] = loadF(c.scale + at);
      if (c.offset != 0u) { offset[e] = loadF(c.offset + at); }
    }
  }
  return select(vec4f(), offset + scale * levels, vec4i(c4, c4 + 1, c4 + 2, c4 + 3) < vec4i(c.d));
}

// As codedLevels, with outliers.
fn codedVector(c: CodedRows, batch: i32, h: i32, j: i32, c4: i32) -> vec4f {
  var x = codedLevels(c, batch, h, j, c4);
  if (c.slots == 0) { return x; }
  let shift = blockShift(c);
  let at = outliersOffset(c, blockPlace(c, batch, j >> shift), h, u32(j) & ((1u << shift) - 1u));
  for (var slot = 0u; slot < u32(c.slots); slot++) {
    let e = loadI(c.outlierIndex + at + slot * 4u) - c4;
    if (e >= 0 && e < 4) { x[e] += loadF(c.outlierValue + at + slot * 4u); }
  }
  return x;
}
