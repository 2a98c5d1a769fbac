//! params QuantizeParams
//! use group, coded-rows
// Rows of floats to codes: see assembly/decode/codes/quantize.ts for the operands and the rules.
//
// Workgroup: one (batch, span of tokens, head). A thread has whole words of codes, so that none has two writers; what a word holds of tokens
// outside of the span's stays.

fn rowAt(batch: i32, token: i32, h: i32) -> u32 {
  return p.x + u32(batch * p.xStrideB + (token - p.first) * p.xStrideT + h * p.xStrideH) * 4u;
}

fn isOutlier(c: CodedRows, outliers: u32, count: i32, channel: i32) -> bool {
  for (var slot = 0; slot < count; slot++) {
    if (loadI(c.outlierIndex + outliers + u32(slot) * 4u) == channel) { return true; }
  }
  return false;
}

// Writes the channels whose numbers are farthest from a row's mean, or from what its codes stand for, into the slots.
fn findOutliers(c: CodedRows, batch: i32, h: i32, token: i32, outliers: u32) {
  let x = rowAt(batch, token, h);
  var mean = 0.0;
  for (var channel = 0; channel < c.d; channel++) { mean += loadF(x + u32(channel) * 4u); }
  mean /= f32(c.d);
  for (var slot = 0; slot < c.slots; slot++) {
    var best = -1;
    var farthest = -1.0;
    for (var c4 = 0; c4 < c.d; c4 += 4) {
      var reference = vec4f(mean);
      if (p.given != 0) { reference = codedLevels(c, batch, h, token, c4); }
      for (var e = 0; e < min(4, c.d - c4); e++) {
        let distance = abs(loadF(x + u32(c4 + e) * 4u) - reference[e]);
        if ((distance > farthest || best < 0) && !isOutlier(c, outliers, slot, c4 + e)) {
          farthest = distance;
          best = c4 + e;
        }
      }
    }
    storeI(c.outlierIndex + outliers + u32(slot) * 4u, best);
  }
}

// Stores scale and offset by which codes reach from low to high.
fn storeRange(c: CodedRows, low: f32, high: f32, at: u32) {
  var scale = 0.0;
  var offset = 0.0;
  if (low <= high) {
    if (c.codebook != 0u) {
      offset = (low + high) * 0.5;
      scale = (high - low) * 0.5;
    } else if (c.offset != 0u) {
      offset = low;
      scale = (high - low) / f32((1u << c.bits) - 1u);
    } else {
      scale = max(-low, high) / f32((1u << (c.bits - 1u)) - 1u);
    }
  }
  storeF(c.scale + at, scale);
  if (c.offset != 0u) { storeF(c.offset + at, offset); }
}

// The code of a channel of a token, by scales that are there.
fn codeFor(c: CodedRows, batch: i32, h: i32, token: i32, channel: i32, scales: u32, r: u32) -> u32 {
  let at = scales + scaleOffset(c, r, channel);
  let scale = loadF(c.scale + at);
  // where the scale is no number to divide by, all codes of the group stand for its offset
  let inverse = select(0.0, 1.0 / scale, scale > 3e-39);
  var offset = 0.0;
  if (c.offset != 0u) { offset = loadF(c.offset + at); }
  let level = (loadF(rowAt(batch, token, h) + u32(channel) * 4u) - offset) * inverse;
  if (c.codebook == 0u) { return u32(clamp(round(level + f32(middleOf(c))), 0.0, f32((1u << c.bits) - 1u))); }
  var best = 0u;
  var error = 3e38;
  for (var code = 0u; code < (1u << c.bits); code++) {
    let distance = abs(level - loadF(c.codebook + code * 4u));
    if (distance < error) {
      error = distance;
      best = code;
    }
  }
  return best;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let c = codedRowsAt(p.rows);
  let shift = blockShift(c);
  let tokens = 1 << shift;
  let spans = (p.first + p.count + p.span - 1) / p.span - p.first / p.span;
  let h = item % p.heads;
  let span = p.first / p.span + (item / p.heads) % spans;
  let batch = item / (p.heads * spans);
  let low = max(span * p.span, p.first);
  let high = min((span + 1) * p.span, p.first + p.count);

  if (c.slots != 0 && p.given == 0) {
    for (var token = low + i32(t); token < high; token += 128) {
      let r = u32(token) & u32(tokens - 1);
      findOutliers(c, batch, h, token, outliersOffset(c, blockPlace(c, batch, token >> shift), h, r));
    }
  }
  storageBarrier();
  if (p.given == 0) {
    let groups = (c.d + c.group - 1) / c.group;
    // a number for each channel of the span, or for each group of channels of a token
    let count = select((high - low) * groups, c.d, c.byChannel != 0);
    for (var n = i32(t); n < count; n += 128) {
      var least = 3.4e38;
      var most = -3.4e38;
      var at = 0u;
      if (c.byChannel != 0) {
        for (var token = low; token < high; token++) {
          let x = loadF(rowAt(batch, token, h) + u32(n) * 4u);
          least = min(least, x);
          most = max(most, x);
        }
        at = scalesOffset(c, blockPlace(c, batch, low >> shift), h) + u32(n) * 4u;
      } else {
        let token = low + n / groups;
        let channel = (n % groups) * c.group;
        let r = u32(token) & u32(tokens - 1);
        let place = blockPlace(c, batch, token >> shift);
        let outliers = outliersOffset(c, place, h, r);
        for (var i = channel; i < min(channel + c.group, c.d); i++) {
          if (!isOutlier(c, outliers, c.slots, i)) {
            let x = loadF(rowAt(batch, token, h) + u32(i) * 4u);
            least = min(least, x);
            most = max(most, x);
          }
        }
        at = scalesOffset(c, place, h) + scaleOffset(c, r, channel);
      }
      storeRange(c, least, most, at);
    }
  }
  storageBarrier();

  let unit = select(4, tokens, c.values != 0);
  // eight bytes of a block for each channel of whole units
  let words = (c.d + unit - 1) / unit * unit * 2;
  let firstBlock = low >> shift;
  let blocks = ((high - 1) >> shift) - firstBlock + 1;
  let fields = u32(tokens) / 4u;
  for (var n = i32(t); n < words * blocks; n += 128) {
    let block = firstBlock + n / words;
    let w = n % words;
    let place = blockPlace(c, batch, block);
    let at = codesAt(c, place, h) + u32(w) * 4u;
    let scales = scalesOffset(c, place, h);
    var word = loadU(at);
    for (var field = 0u; field < fields; field++) {
      for (var side = 0; side < 2; side++) {
        var r = (w & 3) + i32(field) * 4;
        var channel = (w >> 2u) * 2 + side;
        if (c.values != 0) {
          let within = w % (2 * tokens);
          r = (within >> 2u) * 2 + side;
          channel = w / (2 * tokens) * tokens + i32(field) * 4 + (w & 3);
        }
        let token = block * tokens + r;
        if (token >= low && token < high && channel < c.d) {
          let code = codeFor(c, batch, h, token, channel, scales, u32(r)) ^ turnOf(c, field);
          let bit = u32(side) * 16u + field * c.bits;
          word = (word & ~(((1u << c.bits) - 1u) << bit)) | (code << bit);
        }
      }
    }
    storeU(at, word);
  }
  storageBarrier();

  if (c.slots != 0) {
    for (var token = low + i32(t); token < high; token += 128) {
      let r = u32(token) & u32(tokens - 1);
      let outliers = outliersOffset(c, blockPlace(c, batch, token >> shift), h, r);
      if (p.given != 0) { findOutliers(c, batch, h, token, outliers); }
      for (var slot = 0u; slot < u32(c.slots); slot++) {
        let channel = loadI(c.outlierIndex + outliers + slot * 4u);
        let levels = codedLevels(c, batch, h, token, channel & ~3);
        var level = levels.x;
        if ((channel & 3) == 1) { level = levels.y; }
        if ((channel & 3) == 2) { level = levels.z; }
        if ((channel & 3) == 3) { level = levels.w; }
        storeF(c.outlierValue + outliers + slot * 4u, loadF(rowAt(batch, token, h) + u32(channel) * 4u) - level);
      }
    }
  }
}
