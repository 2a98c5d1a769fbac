//! params FastWeightParams
//! extra scratch: u32, groupBytes: u32, weightBytes: u32, stride: u32
//! use group, storage
//! const FLOATS, DEEP, MOMENTUM, READS, ROWS_SHARED, ROWS, FROZEN_SHARED, FROZEN
// Fast weights: a network trained on the tokens while it reads them, gradients by mini-batches in the dual form.
//
//   tensors and rules as of the kernel fastWeight
//
// Workgroup: one head of one sequence. Its tokens come in parts of at most TOKENS within a mini-batch. All that lies between is
// in vectors of four: weights are [layers][rows, with that of the bias, to whole vectors][columns to whole vectors], zeros in
// what pads them; rows of tokens are [TOKENS][stride]. The weights that gradients are taken at (`frozen`) and the rows of tokens
// lie in the workgroup's memory where they fit, all else in scratch: [frozen][base][second][rows]. Without momentum the weights
// that queries read (`base`) are the frozen ones. DEEP: the network has more than one layer.

const TOKENS = 16u;
const MOST_LAYERS = 16u;

var<workgroup> rowsShared: array<vec4f, ROWS>;
var<workgroup> frozenShared: array<vec4f, FROZEN>;
var<workgroup> layerTable: array<vec4u, MOST_LAYERS>;
var<workgroup> sequenceWords: array<vec4i, 2>;
var<workgroup> scores: array<f32, 256>;
var<workgroup> coefficients: array<f32, 256>;
var<workgroup> rates: array<f32, 16>;
var<workgroup> rates2: array<f32, 16>;
var<workgroup> rests: array<f32, 16>;
var<workgroup> baseOf: array<f32, 16>;
var<workgroup> secondOf: array<f32, 16>;
var<workgroup> endBase: array<f32, 16>;
var<workgroup> endSecond: array<f32, 16>;
// keep, add, stay: base = keep base + add second, second = stay second
var<workgroup> turns: vec3f;

var<private> weightsAt: u32;
var<private> rowsAt: u32;
var<private> sequence: u32;
var<private> batch: i32;
var<private> head: i32;
var<private> start: i32;

// Rows of tokens were written, and are read next. Every barrier costs drivers dearly that compile shaders for processors.
fn syncRows() {
  workgroupBarrier();
  if (!ROWS_SHARED) { storageBarrier(); }
}

fn row4(i: u32) -> vec4f {
  if (ROWS_SHARED) { return rowsShared[i]; }
  return loadF4(rowsAt + i * 16u);
}

fn setRow4(i: u32, x: vec4f) {
  if (ROWS_SHARED) { rowsShared[i] = x; } else { storeF4(rowsAt + i * 16u, x); }
}

fn frozen4(i: u32) -> vec4f {
  if (FROZEN_SHARED) { return frozenShared[i]; }
  return loadF4(weightsAt + i * 16u);
}

fn setFrozen4(i: u32, x: vec4f) {
  if (FROZEN_SHARED) { frozenShared[i] = x; } else { storeF4(weightsAt + i * 16u, x); }
}

fn base4(i: u32) -> vec4f {
  if (MOMENTUM) { return loadF4(weightsAt + p.weightBytes + i * 16u); }
  return frozen4(i);
}

fn second4(i: u32) -> vec4f { return loadF4(weightsAt + 2u * p.weightBytes + i * 16u); }

// A layer: lengths, whole vectors of its columns and of its rows, where its weights begin.
struct Layer { din: u32, dout: u32, bias: u32, columns: u32, rows: u32, at: u32 }

fn layerAt(i: u32) -> Layer {
  let words = layerTable[i];
  return Layer(words.x, words.y, words.z, (words.y + 3u) / 4u, (words.x + words.z + 3u) / 4u, words.w);
}

// Where rows of tokens begin, in vectors: queries in turn, targets, and the inputs and outputs of layers.
fn queryRows(turn: u32) -> u32 { return turn * TOKENS * p.stride; }
fn targetRows() -> u32 { return 2u * TOKENS * p.stride; }
fn inputRows(layer: u32) -> u32 { return (3u + 2u * layer) * TOKENS * p.stride; }
fn outputRows(layer: u32) -> u32 { return (4u + 2u * layer) * TOKENS * p.stride; }
// The norm's weights and, a row behind, its biases.
fn normRows() -> u32 { return (3u + 2u * u32(p.layerCount)) * TOKENS * p.stride; }

fn elementAt(strideB: i32, strideT: i32, strideH: i32, token: i32) -> i32 {
  return batch * strideB + (start + token) * strideT + head * strideH;
}

// Which of four elements from `c` on are among the first n.
fn among(c: u32, n: u32) -> vec4<bool> { return vec4u(c, c + 1u, c + 2u, c + 3u) < vec4u(n); }

// Elements of a row of n from `c` on, zeros behind the last; those are loaded too, so that nothing branches.
fn loadQuad(base: u32, c: u32, n: u32) -> vec4f {
  let i = min(vec4u(c, c + 1u, c + 2u, c + 3u), vec4u(n - 1u)) * 4u;
  let x = vec4f(loadF(base + i.x), loadF(base + i.y), loadF(base + i.z), loadF(base + i.w));
  return select(vec4f(), x, among(c, n));
}

fn loadTokenQuad(kind: i32, base: u32, element: i32, c: u32, n: u32) -> vec4f {
  if (FLOATS) { return loadQuad(base + u32(element) * 4u, c, n); }
  var x: array<f32, 4>;
  for (var i = 0u; i < 4u; i += 1u) { x[i] = loadAs(kind, base, element + i32(min(c + i, n - 1u))); }
  return select(vec4f(), vec4f(x[0], x[1], x[2], x[3]), among(c, n));
}

// With the one of a bias behind n elements.
fn withBias(x: vec4f, c: u32, l: Layer) -> vec4f {
  let one = vec4u(c, c + 1u, c + 2u, c + 3u) == vec4u(l.din);
  return select(x, vec4f(f32(l.bias)), one);
}

struct Place { w: u32, b: u32 }

// Weights and bias of this head at place `which` of a layer; 0 if they are absent.
fn placeAt(layer: u32, which: u32) -> Place {
  let record = p.weights + (layer * 6u + which) * 16u;
  let unit = (sequence * u32(p.heads) + u32(head)) * 4u;
  let w = loadU(record);
  let b = loadU(record + 8u);
  return Place(select(0u, w + unit * loadU(record + 4u), w != 0u), select(0u, b + unit * loadU(record + 12u), b != 0u));
}

// Fills the weights of a kind from a place: frozen (0), base (1) or second (2).
fn loadWeights(which: u32, kind: u32, t: u32) {
  for (var n = 0u; n < u32(p.layerCount); n += 1u) {
    let l = layerAt(n);
    let place = placeAt(n, which);
    for (var i = t; i < l.rows * 4u * l.columns; i += 256u) {
      let row = i / l.columns;
      let given = select(place.b, place.w, row < l.din);
      var x = vec4f();
      if (given != 0u && row < l.din + l.bias) {
        x = loadQuad(given + select(0u, row * l.dout * 4u, row < l.din), (i - row * l.columns) * 4u, l.dout);
      }
      if (kind == 0u) { setFrozen4(l.at + i, x); } else { storeF4(weightsAt + kind * p.weightBytes + (l.at + i) * 16u, x); }
    }
  }
}

// The reverse of loadWeights, all that lies in a row; `zero` writes zeros.
fn storeWeights(which: u32, kind: u32, zero: bool, t: u32) {
  for (var n = 0u; n < u32(p.layerCount); n += 1u) {
    let l = layerAt(n);
    let place = placeAt(n, which);
    for (var i = t; i < (l.din + l.bias) * l.columns; i += 256u) {
      let row = i / l.columns;
      let c = (i - row * l.columns) * 4u;
      var x = vec4f();
      if (!zero) {
        if (kind == 0u) { x = frozen4(l.at + i); } else { x = loadF4(weightsAt + kind * p.weightBytes + (l.at + i) * 16u); }
      }
      storeRow(select(place.b, place.w + row * l.dout * 4u, row < l.din), c, l.dout, x);
    }
  }
}

// Four elements of a row of n from `c` on.
fn storeRow(row: u32, c: u32, n: u32, x: vec4f) {
  for (var e = 0u; e < min(4u, n - c); e += 1u) { storeF(row + (c + e) * 4u, x[e]); }
}

fn loadNorm(t: u32) {
  let d = u32(p.d);
  for (var i = t; i < 2u * p.stride; i += 256u) {
    let bias = i >= p.stride;
    let c = select(i, i - p.stride, bias) * 4u;
    var x = vec4f();
    if (p.lnWeight != 0u) { x = loadQuad(select(p.lnWeight, p.lnBias, bias) + u32(head) * d * 4u, c, d); }
    setRow4(normRows() + i, x);
  }
}

// Queries, keys and targets of a part.
fn loadTokens(token: i32, count: u32, learns: bool, t: u32) {
  let l = layerAt(0u);
  let d = u32(p.d);
  for (var i = t; i < TOKENS * p.stride; i += 256u) {
    let row = i / p.stride;
    let c = (i - row * p.stride) * 4u;
    var q = vec4f();
    var k = vec4f();
    var v = vec4f();
    if (row < count) {
      let at = token + i32(row);
      q = withBias(loadTokenQuad(p.qType, p.q, elementAt(p.qStrideB, p.qStrideT, p.qStrideH, at), c, d) * p.scale, c, l);
      if (learns) {
        k = loadTokenQuad(p.kType, p.k, elementAt(p.kStrideB, p.kStrideT, p.kStrideH, at), c, d);
        v = loadTokenQuad(p.vType, p.v, elementAt(p.vStrideB, p.vStrideT, p.vStrideH, at), c, d);
        if (p.residualTarget != 0) { v -= k; }
        k = withBias(k, c, l);
      }
    }
    setRow4(queryRows(0u) + i, q);
    if (learns) {
      setRow4(inputRows(0u) + i, k);
      setRow4(targetRows() + i, v);
    }
  }
}

fn sigmoid4(x: vec4f) -> vec4f { return vec4f(1.0) / (vec4f(1.0) + exp(min(-x, vec4f(88.0)))); }

struct Activated { value: vec4f, slope: vec4f }

fn activate(z: vec4f) -> Activated {
  if (p.activation == 1) { return Activated(max(z, vec4f()), select(vec4f(), vec4f(1.0), z > vec4f())); }
  if (p.activation == 2) {
    let s = sigmoid4(z);
    let value = z * s;
    return Activated(value, s + value * (vec4f(1.0) - s));
  }
  let squared = z * z;
  let s = sigmoid4(z * (squared * 0.07135481627260025 + 1.5957691216057308));
  let value = z * s;
  return Activated(value, s + value * (vec4f(1.0) - s) * (squared * 0.21406444881780076 + 1.5957691216057308));
}

// Two rows of a product with four columns.
struct Two { a: vec4f, b: vec4f }

fn product(kind: u32, row: u32, l: Layer, column: u32) -> Two {
  var a = vec4f();
  var b = vec4f();
  for (var k = 0u; k < l.rows; k += 1u) {
    let x = row4(row + k);
    let y = row4(row + p.stride + k);
    let at = l.at + k * 4u * l.columns + column;
    var w0: vec4f;
    var w1: vec4f;
    var w2: vec4f;
    var w3: vec4f;
    if (kind == 0u) {
      w0 = frozen4(at);
      w1 = frozen4(at + l.columns);
      w2 = frozen4(at + 2u * l.columns);
      w3 = frozen4(at + 3u * l.columns);
    } else if (kind == 1u) {
      w0 = base4(at);
      w1 = base4(at + l.columns);
      w2 = base4(at + 2u * l.columns);
      w3 = base4(at + 3u * l.columns);
    } else {
      w0 = second4(at);
      w1 = second4(at + l.columns);
      w2 = second4(at + 2u * l.columns);
      w3 = second4(at + 3u * l.columns);
    }
    a += x.x * w0 + x.y * w1 + x.z * w2 + x.w * w3;
    b += y.x * w0 + y.y * w1 + y.z * w2 + y.w * w3;
  }
  return Two(a, b);
}

// Keys through the network at the frozen weights, and the gradients of every layer's outputs back.
fn learn(count: u32, t: u32) {
  let last = u32(p.layerCount) - 1u;
  let pairs = (count + 1u) / 2u;
  for (var n = 0u; n <= last; n += 1u) {
    let l = layerAt(n);
    for (var i = t; i < pairs * l.columns; i += 256u) {
      let pair = i / l.columns;
      let c = i - pair * l.columns;
      let z = product(0u, inputRows(n) + pair * 2u * p.stride, l, c);
      let to = outputRows(n) + pair * 2u * p.stride + c;
      for (var e = 0u; e < 2u; e += 1u) {
        var x = z.a;
        if (e == 1u) { x = z.b; }
        if (DEEP && n < last) {
          let active_ = activate(x);
          x = active_.slope;
          let value = withBias(select(vec4f(), active_.value, among(c * 4u, l.dout)), c * 4u, layerAt(n + 1u));
          setRow4(inputRows(n + 1u) + (pair * 2u + e) * p.stride + c, value);
        }
        setRow4(to + e * p.stride, x);
      }
    }
    if (DEEP && n < last) {
      // the bias may lie behind the last vector of outputs
      let next = layerAt(n + 1u);
      if (next.rows > l.columns && t < TOKENS) {
        setRow4(inputRows(n + 1u) + t * p.stride + l.columns, withBias(vec4f(), l.columns * 4u, next));
      }
    }
    syncRows();
  }
  gradient(outputRows(last), t);
  syncRows();
  if (!DEEP) { return; }
  for (var n = last; n > 0u; n -= 1u) {
    let l = layerAt(n);
    let columns = layerAt(n - 1u).columns;
    for (var i = t; i < count * columns; i += 256u) {
      let row = i / columns;
      let c = i - row * columns;
      let g = outputRows(n) + row * p.stride;
      var back = vec4f();
      for (var k = 0u; k < l.columns; k += 1u) {
        let x = row4(g + k);
        let at = l.at + c * 4u * l.columns + k;
        back += vec4f(
          dot(x, frozen4(at)), dot(x, frozen4(at + l.columns)), dot(x, frozen4(at + 2u * l.columns)), dot(x, frozen4(at + 3u * l.columns)));
      }
      let to = outputRows(n - 1u) + row * p.stride + c;
      // the row of the bias may be among the last four
      setRow4(to, row4(to) * select(vec4f(), back, among(c * 4u, l.din)));
    }
    syncRows();
  }
}

// Mean of a row and the inverse of its deviation; each of the 16 threads of a row finds them for itself, without barriers.
fn rowStatistics(z: u32) -> vec2f {
  let d = u32(p.d);
  let quads = (d + 3u) / 4u;
  var sum = vec4f();
  for (var c = 0u; c < quads; c += 1u) { sum += row4(z + c); }
  let mean = dot(sum, vec4f(1.0)) / f32(d);
  var squares = vec4f();
  for (var c = 0u; c < quads; c += 1u) {
    let x = select(vec4f(), row4(z + c) - mean, among(c * 4u, d));
    squares += x * x;
  }
  return vec2f(mean, 1.0 / sqrt(dot(squares, vec4f(1.0)) / f32(d) + p.eps));
}

// z = gradient with respect to z of |y - target|^2 / 2, y = LN(z) weight + bias, or y = z where there is no weight.
fn gradient(rows: u32, t: u32) {
  let d = u32(p.d);
  let quads = (d + 3u) / 4u;
  let row = t >> 4u;
  let z = rows + row * p.stride;
  let wanted = targetRows() + row * p.stride;
  let norm = normRows();
  var statistics = vec2f();
  var gMean = 0.0;
  var gx = 0.0;
  if (p.lnWeight != 0u) {
    statistics = rowStatistics(z);
    var sum = vec4f();
    var products = vec4f();
    for (var c = 0u; c < quads; c += 1u) {
      let w = row4(norm + c);
      let x = (row4(z + c) - statistics.x) * statistics.y;
      let g = (x * w + row4(norm + p.stride + c) - row4(wanted + c)) * w;
      sum += g;
      products += g * x;
    }
    gMean = dot(sum, vec4f(1.0)) / f32(d);
    gx = dot(products, vec4f(1.0)) / f32(d);
  }
  // the whole row has been read by all of its threads
  syncRows();
  for (var c = t & 15u; c < quads; c += 16u) {
    var g = row4(z + c) - row4(wanted + c);
    if (p.lnWeight != 0u) {
      let w = row4(norm + c);
      let x = (row4(z + c) - statistics.x) * statistics.y;
      g = (x * w + row4(norm + p.stride + c) - row4(wanted + c)) * w;
      g = select(vec4f(), (g - gMean - x * gx) * statistics.y, among(c * 4u, d));
    }
    setRow4(z + c, g);
  }
}

fn rateAt(base: u32, strideB: i32, strideT: i32, strideH: i32, token: i32) -> f32 {
  return loadF(base + u32(elementAt(strideB, strideT, strideH, token)) * 4u);
}

// What factors of a part are made of.
fn readRates(token: i32, count: u32, position: u32, t: u32) {
  if (t < count) {
    let rate = rateAt(p.eta, p.etaStrideB, p.etaStrideT, p.etaStrideH, token + i32(t));
    rates[t] = rate;
    if (MOMENTUM) {
      rates2[t] = -2.0 * rateAt(p.theta, p.thetaStrideB, p.thetaStrideT, p.thetaStrideH, token + i32(t));
      rests[t] = 1.0 - rateAt(p.alpha, p.alphaStrideB, p.alphaStrideT, p.alphaStrideH, token + i32(t));
    } else {
      var place = rate;
      if (p.rule == 1) { place = loadF(p.tokenIdx + (position + t) * 4u); }
      baseOf[t] = 1.0;
      secondOf[t] = -place;
      endSecond[t] = select(1.0, rate, p.rule == 1);
    }
  }
}

// Factors of a part: what queries read is baseOf base + secondOf second + coefficients of keys.
fn findFactors(count: u32, t: u32) {
  if (MOMENTUM) {
    if (t < count) {
      var first = 0.0;
      var second = rates2[t];
      for (var i = 0u; i < count; i += 1u) {
        if (i >= t) {
          if (i > t) { second *= rates[i]; }
          first = first * rests[i] + second;
        }
        coefficients[i * 16u + t] = first;
      }
      endBase[t] = first;
      endSecond[t] = second;
    } else if (t == 16u) {
      var keep = 1.0;
      var add = 0.0;
      var stay = 1.0;
      for (var i = 0u; i < count; i += 1u) {
        stay *= rates[i];
        keep *= rests[i];
        add = add * rests[i] + stay;
        baseOf[i] = keep;
        secondOf[i] = add;
      }
      turns = vec3f(keep, add, stay);
    }
  } else {
    let i = t >> 4u;
    let j = t & 15u;
    if (i < count && j <= i) { coefficients[t] = secondOf[i] * endSecond[j]; }
  }
}

// Products of queries with keys up to their own, times their coefficients.
fn scoreKeys(y: u32, x: u32, l: Layer, count: u32, t: u32) {
  let i = t >> 4u;
  let j = t & 15u;
  if (i >= count || j > i) { return; }
  var sum = vec4f();
  for (var k = 0u; k < l.rows; k += 1u) { sum += row4(y + i * p.stride + k) * row4(x + j * p.stride + k); }
  scores[t] = ((sum.x + sum.y) + (sum.z + sum.w)) * coefficients[t];
}

// z = y of the queries through a layer whose weights are what each of them reads.
fn readLayer(n: u32, y: u32, z: u32, count: u32, position: u32, learns: bool, t: u32) {
  let l = layerAt(n);
  for (var i = t; i < ((count + 1u) / 2u) * l.columns; i += 256u) {
    let pair = i / l.columns;
    let c = i - pair * l.columns;
    let row = pair * 2u;
    var out = product(1u, y + row * p.stride, l, c);
    if (learns) {
      let g = outputRows(n) + c;
      var a = vec4f();
      var b = vec4f();
      for (var j = 0u; j <= row; j += 1u) {
        let x = row4(g + j * p.stride);
        a += scores[row * 16u + j] * x;
        if (row + 1u < count) { b += scores[row * 16u + 16u + j] * x; }
      }
      if (row + 1u < count) { b += scores[row * 17u + 17u] * row4(g + (row + 1u) * p.stride); }
      if (MOMENTUM || position > 0u) {
        let second = product(2u, y + row * p.stride, l, c);
        a += second.a * secondOf[row];
        if (row + 1u < count) { b += second.b * secondOf[row + 1u]; }
      }
      if (MOMENTUM) {
        out.a *= baseOf[row];
        if (row + 1u < count) { out.b *= baseOf[row + 1u]; }
      }
      out.a += a;
      out.b += b;
    }
    for (var e = 0u; e < 2u; e += 1u) {
      var x = out.a;
      if (e == 1u) { x = out.b; }
      if (DEEP && n + 1u < u32(p.layerCount)) {
        x = withBias(select(vec4f(), activate(x).value, among(c * 4u, l.dout)), c * 4u, layerAt(n + 1u));
      }
      setRow4(z + (row + e) * p.stride + c, x);
    }
  }
  if (DEEP && n + 1u < u32(p.layerCount)) {
    let next = layerAt(n + 1u);
    if (next.rows > l.columns && t < TOKENS) {
      setRow4(z + t * p.stride + l.columns, withBias(vec4f(), l.columns * 4u, next));
    }
  }
}

// Takes the gradients of a part into a layer whose outputs are read.
fn advanceLayer(n: u32, count: u32, position: u32, ends: bool, t: u32) {
  let l = layerAt(n);
  let x = inputRows(n);
  let g = outputRows(n);
  let factor = secondOf[count - 1u];
  for (var i = t; i < l.rows * l.columns; i += 256u) {
    let quad = i / l.columns;
    let c = i - quad * l.columns;
    // four rows of four columns of the sum of keys' inputs times gradients, by the factors of second and of base
    var a0 = vec4f();
    var a1 = vec4f();
    var a2 = vec4f();
    var a3 = vec4f();
    var b0 = vec4f();
    var b1 = vec4f();
    var b2 = vec4f();
    var b3 = vec4f();
    for (var j = 0u; j < count; j += 1u) {
      let key = row4(x + j * p.stride + quad);
      let gs = row4(g + j * p.stride + c);
      let xs = key * endSecond[j];
      a0 += xs.x * gs;
      a1 += xs.y * gs;
      a2 += xs.z * gs;
      a3 += xs.w * gs;
      if (MOMENTUM) {
        let ys = key * endBase[j];
        b0 += ys.x * gs;
        b1 += ys.y * gs;
        b2 += ys.z * gs;
        b3 += ys.w * gs;
      }
    }
    for (var e = 0u; e < 4u; e += 1u) {
      let at = l.at + (quad * 4u + e) * l.columns + c;
      let sum = select(select(a0, a1, e == 1u), select(a2, a3, e == 3u), e > 1u);
      if (MOMENTUM) {
        let second = second4(at);
        let before = base4(at);
        let after = turns.x * before + turns.y * second + select(select(b0, b1, e == 1u), select(b2, b3, e == 3u), e > 1u);
        storeF4(weightsAt + p.weightBytes + at * 16u, after);
        storeF4(weightsAt + 2u * p.weightBytes + at * 16u, turns.z * second + sum);
        if (ends) { setFrozen4(at, after); }
      } else {
        // kept for the next part or, where the mini-batch ends, added to the weights
        var all = sum;
        if (position > 0u) { all += second4(at); }
        if (ends) { setFrozen4(at, frozen4(at) + factor * all); } else { storeF4(weightsAt + 2u * p.weightBytes + at * 16u, all); }
      }
    }
  }
}

// Writes the outputs of a part.
fn writeOutputs(z: u32, token: i32, count: u32, t: u32) {
  let d = u32(p.d);
  let quads = (d + 3u) / 4u;
  let row = t >> 4u;
  let at = z + row * p.stride;
  if (row >= count) { return; }
  var statistics = vec2f();
  if (p.lnWeight != 0u) { statistics = rowStatistics(at); }
  let norm = normRows();
  let to = p.o + u32(elementAt(p.oStrideB, p.oStrideT, p.oStrideH, token + i32(row))) * 4u;
  let query = elementAt(p.qStrideB, p.qStrideT, p.qStrideH, token + i32(row));
  for (var q = t & 15u; q < quads; q += 16u) {
    let c = q * 4u;
    let x = row4(at + q);
    var out = x;
    if (p.lnWeight != 0u) {
      out = (x - statistics.x) * statistics.y * row4(norm + q) + row4(norm + p.stride + q);
    }
    if (p.residual == 1) { out += x; }
    if (p.residual == 2) { out += loadTokenQuad(p.qType, p.q, query, c, d) * p.scale; }
    storeRow(to, c, d, out);
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  sequence = group / heads;
  head = i32(group - sequence * heads);
  if (t == 0u) {
    sequenceWords[0] = bitcast<vec4i>(loadU4(p.sequences + sequence * 32u));
    sequenceWords[1] = bitcast<vec4i>(loadU4(p.sequences + sequence * 32u + 16u));
    var at = 0u;
    for (var n = 0u; n < u32(p.layerCount); n += 1u) {
      let record = p.layers + n * 12u;
      let din = loadU(record);
      let dout = loadU(record + 4u);
      let bias = loadU(record + 8u);
      layerTable[n] = vec4u(din, dout, bias, at);
      at += ((din + bias + 3u) / 4u) * 4u * ((dout + 3u) / 4u);
    }
  }
  let words = workgroupUniformLoad(&sequenceWords);
  batch = words[0].x;
  start = words[0].y;
  let length = u32(words[0].z);
  var position = u32(words[1].y);
  weightsAt = p.scratch + group * p.groupBytes;
  rowsAt = weightsAt + 3u * p.weightBytes;
  loadNorm(t);
  // kinds from places: without momentum frozen is the state, and base is not there
  for (var kind = 0u; kind < 3u; kind += 1u) {
    var which = 2u;
    if (kind == 0u) { which = select(0u, 4u, MOMENTUM && position > 0u); }
    if (kind == 1u) { which = 0u; }
    if (kind == 0u || MOMENTUM || (kind == 2u && position > 0u)) { loadWeights(which, kind, t); }
  }
  for (var token = 0u; token < length; ) {
    let count = min(TOKENS, min(u32(p.miniBatch) - position, length - token));
    let after = position + count;
    let ends = after == u32(p.miniBatch) || (p.flush != 0 && token + count == length);
    workgroupBarrier();
    storageBarrier();
    loadTokens(i32(token), count, !READS, t);
    if (!READS) { readRates(i32(token), count, position, t); }
    syncRows();
    if (!READS) {
      findFactors(count, t);
      learn(count, t);
    }
    var turn = 0u;
    for (var n = 0u; n < u32(p.layerCount); n += 1u) {
      if (!READS) {
        scoreKeys(queryRows(turn), inputRows(n), layerAt(n), count, t);
        workgroupBarrier();
      }
      readLayer(n, queryRows(turn), queryRows(1u - turn), count, position, !READS, t);
      syncRows();
      if (!READS) { advanceLayer(n, count, position, ends, t); }
      turn = 1u - turn;
    }
    writeOutputs(queryRows(turn), i32(token), count, t);
    position = select(after, 0u, ends);
    token += count;
  }
  if (READS) { return; }
  workgroupBarrier();
  storageBarrier();
  for (var kind = 0u; kind < 3u; kind += 1u) {
    var which = 3u;
    if (kind == 0u) { which = select(1u, 5u, MOMENTUM); }
    if (kind == 1u) { which = 1u; }
    if (kind != 1u || MOMENTUM) { storeWeights(which, kind, kind == 2u && !MOMENTUM && position == 0u, t); }
  }
  if (head == 0 && t == 0u) { storeI(p.positionOut + sequence * 4u, i32(position)); }
}
