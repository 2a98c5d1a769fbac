//! params SwigluParams
//! extra scratch: u32, groupBytes: u32
//! use group, storage
// SwiGLU fast weights f(x) = w1 (silu(w0 x) * (w2 x)): a chunk's queries read what the chunks before have left, then its keys move the
// weights along v^T f(k).
//
//   tensors as of the kernel swiglu
//
// Workgroup: one head of one sequence, BLOCK tokens at a time. Every product is a list of numbers for one function, which goes through
// tiles of 64 x 64; what it takes and gives lies in scratch, row by row: w0, w1, w2, their gradients, rows of tokens (inputs, targets,
// gate, up, down), and what Newton-Schulz steps need: the matrix twice, its products with itself twice.

const BLOCK = 64u;
const NORM_EPS = 1e-5;

struct Matrix { at: u32, row: u32, column: u32 }

struct Product { a: Matrix, b: Matrix, c: Matrix, m: u32, n: u32, k: u32, alpha: f32, beta: f32 }

var<workgroup> tileA: array<f32, 1024>;
var<workgroup> tileB: array<f32, 1024>;
var<workgroup> sums: array<f32, 256>;
var<workgroup> sequenceWords: array<vec4i, 2>;

var<private> base: u32;
var<private> batch: i32;
var<private> head: i32;
var<private> start: i32;
var<private> stateIndex: u32;

fn sync() {
  workgroupBarrier();
  storageBarrier();
}

fn small() -> u32 { return u32(p.dh * p.dk); }
fn large() -> u32 { return u32(p.dv * p.dh); }
fn wholeSize() -> u32 { return 2u * small() + large(); }
fn widest() -> u32 { return u32(max(p.dh, max(p.dk, p.dv))); }

// Where w0, w1, w2 begin among the elements of all three, and their lengths.
fn rowsOf(i: u32) -> u32 { return u32(select(p.dh, p.dv, i == 1u)); }
fn columnsOf(i: u32) -> u32 { return u32(select(p.dk, p.dh, i == 1u)); }
fn startOf(i: u32) -> u32 { return select(select(0u, small(), i > 0u), small() + large(), i > 1u); }

// Elements before what lies in scratch: gradients, norms, rows of tokens, and the room of Newton-Schulz steps.
fn gradients() -> u32 { return wholeSize(); }
fn normsAt() -> u32 { return 2u * wholeSize(); }
fn tokensAt(i: u32) -> u32 { return normsAt() + u32(2 * p.dh + p.dv) + i * BLOCK * widest(); }
fn stepsAt(i: u32) -> u32 { return tokensAt(5u) + i * max(small(), large()); }

fn valueAt(i: u32) -> f32 { return loadF(base + i * 4u); }
fn setValue(i: u32, x: f32) { storeF(base + i * 4u, x); }

fn placeOf(x: Matrix, i: u32, j: u32) -> u32 { return x.at + i * x.row + j * x.column; }

// c = alpha a b + beta c
fn multiply(g: Product, t: u32) {
  let tilesM = (g.m + 63u) / 64u;
  let tilesN = (g.n + 63u) / 64u;
  let y = (t >> 4u) * 4u;
  let x = (t & 15u) * 4u;
  for (var tile = 0u; tile < tilesM * tilesN; tile += 1u) {
    let m0 = (tile / tilesN) * 64u;
    let n0 = (tile % tilesN) * 64u;
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    for (var k0 = 0u; k0 < g.k; k0 += 16u) {
      workgroupBarrier();
      for (var e = 0u; e < 4u; e += 1u) {
        let i = e * 256u + t;
        // neighbours in memory are fetched by neighbours
        let am = select(i & 63u, i >> 4u, g.a.column == 1u);
        let ak = select(i >> 6u, i & 15u, g.a.column == 1u);
        let bn = select(i >> 4u, i & 63u, g.b.column == 1u);
        let bk = select(i & 15u, i >> 6u, g.b.column == 1u);
        var a = 0.0;
        var b = 0.0;
        if (m0 + am < g.m && k0 + ak < g.k) { a = valueAt(placeOf(g.a, m0 + am, k0 + ak)); }
        if (n0 + bn < g.n && k0 + bk < g.k) { b = valueAt(placeOf(g.b, k0 + bk, n0 + bn)); }
        tileA[ak * 64u + am] = a;
        tileB[bk * 64u + bn] = b;
      }
      workgroupBarrier();
      for (var k = 0u; k < 1024u; k += 64u) {
        let b = vec4f(tileB[k + x], tileB[k + x + 1u], tileB[k + x + 2u], tileB[k + x + 3u]);
        s0 += tileA[k + y] * b;
        s1 += tileA[k + y + 1u] * b;
        s2 += tileA[k + y + 2u] * b;
        s3 += tileA[k + y + 3u] * b;
      }
    }
    for (var i = 0u; i < 4u; i += 1u) {
      let sum = select(select(s0, s1, i == 1u), select(s2, s3, i == 3u), i > 1u);
      for (var j = 0u; j < 4u; j += 1u) {
        if (m0 + y + i < g.m && n0 + x + j < g.n) {
          let at = placeOf(g.c, m0 + y + i, n0 + x + j);
          var before = 0.0;
          if (g.beta != 0.0) { before = g.beta * valueAt(at); }
          setValue(at, g.alpha * sum[j] + before);
        }
      }
    }
  }
}

fn elementAt(strideB: i32, strideT: i32, strideH: i32, token: i32) -> i32 {
  return batch * strideB + (start + token) * strideT + head * strideH;
}

fn stateOf(address: u32, size: u32) -> u32 { return address + stateIndex * size * 4u; }

// Rows of tokens of a block: queries, or keys with their targets.
fn loadTokens(keys: bool, token: i32, count: u32, t: u32) {
  let dk = u32(p.dk);
  for (var i = t; i < count * dk; i += 256u) {
    let row = i / dk;
    let time = token + i32(row);
    let q = elementAt(p.qStrideB, p.qStrideT, p.qStrideH, time);
    let k = elementAt(p.kStrideB, p.kStrideT, p.kStrideH, time);
    setValue(tokensAt(0u) + i, loadAs(select(p.qType, p.kType, keys), select(p.q, p.k, keys), select(q, k, keys) + i32(i - row * dk)));
  }
  if (!keys) { return; }
  let dv = u32(p.dv);
  for (var i = t; i < count * dv; i += 256u) {
    let row = i / dv;
    let v = elementAt(p.vStrideB, p.vStrideT, p.vStrideH, token + i32(row));
    setValue(tokensAt(1u) + i, loadAs(p.vType, p.v, v + i32(i - row * dv)));
  }
}

// The products of a block, in order: gate, up and the output of queries; gate, up and what comes back of keys; three gradients.
fn productOf(op: u32, count: u32) -> Product {
  let dk = u32(p.dk);
  let dh = u32(p.dh);
  let dv = u32(p.dv);
  let x = Matrix(tokensAt(0u), dk, 1u);
  let v = Matrix(tokensAt(1u), dv, 1u);
  let gate = Matrix(tokensAt(2u), dh, 1u);
  let up = Matrix(tokensAt(3u), dh, 1u);
  let down = Matrix(tokensAt(4u), dh, 1u);
  switch (op) {
    case 0u, 3u: { return Product(x, Matrix(0u, 1u, dk), gate, count, dh, dk, 1.0, 0.0); }
    case 1u, 4u: { return Product(x, Matrix(startOf(2u), 1u, dk), up, count, dh, dk, 1.0, 0.0); }
    case 2u: { return Product(gate, Matrix(startOf(1u), 1u, dh), Matrix(tokensAt(4u), dv, 1u), count, dv, dh, 1.0, 0.0); }
    case 5u: { return Product(v, Matrix(startOf(1u), dh, 1u), down, count, dh, dv, 1.0, 0.0); }
    case 6u: { return Product(Matrix(v.at, 1u, dv), down, Matrix(gradients() + startOf(1u), dh, 1u), dv, dh, count, 1.0, 1.0); }
    case 7u: { return Product(Matrix(gate.at, 1u, dh), x, Matrix(gradients(), dk, 1u), dh, dk, count, 1.0, 1.0); }
    default: { return Product(Matrix(up.at, 1u, dh), x, Matrix(gradients() + startOf(2u), dk, 1u), dh, dk, count, 1.0, 1.0); }
  }
}

// What stands between the products of queries, and of keys, whose rates go with what their gradients are made of.
fn activate(keys: bool, token: i32, count: u32, t: u32) {
  let dh = u32(p.dh);
  for (var i = t; i < count * dh; i += 256u) {
    let x = valueAt(tokensAt(2u) + i);
    let h = valueAt(tokensAt(3u) + i);
    let s = 1.0 / (1.0 + exp(min(-x, 88.0)));
    if (keys) {
      let d = valueAt(tokensAt(4u) + i);
      let time = token + i32(i / dh);
      let lr0 = loadF(p.lr0 + u32(elementAt(p.lr0StrideB, p.lr0StrideT, p.lr0StrideH, time)) * 4u);
      let lr1 = loadF(p.lr1 + u32(elementAt(p.lr1StrideB, p.lr1StrideT, p.lr1StrideH, time)) * 4u);
      let lr2 = loadF(p.lr2 + u32(elementAt(p.lr2StrideB, p.lr2StrideT, p.lr2StrideH, time)) * 4u);
      setValue(tokensAt(2u) + i, lr0 * d * h * s * (1.0 + x * (1.0 - s)));
      setValue(tokensAt(3u) + i, lr2 * d * x * s);
      setValue(tokensAt(4u) + i, lr1 * x * s * h);
    } else {
      setValue(tokensAt(2u) + i, x * s * h);
    }
  }
}

fn writeOutputs(token: i32, count: u32, t: u32) {
  let dv = u32(p.dv);
  for (var i = t; i < count * dv; i += 256u) {
    let row = i / dv;
    let o = elementAt(p.oStrideB, p.oStrideT, p.oStrideH, token + i32(row));
    storeF(p.o + (u32(o) + i - row * dv) * 4u, valueAt(tokensAt(4u) + i));
  }
}

fn rowNorm(at: u32, n: u32) -> f32 {
  var sum = 0.0;
  for (var j = 0u; j < n; j += 1u) { sum += valueAt(at + j) * valueAt(at + j); }
  return sqrt(sum);
}

// Nearly the orthogonal factor of a matrix: five steps X = a X + (b A + c A^2) X, A = X X^T, of the transpose where it is tall.
fn newtonSchulz(at: u32, rows: u32, columns: u32, t: u32) {
  let tall = rows > columns;
  let less = min(rows, columns);
  let more = max(rows, columns);
  let across = select(columns, 1u, tall);
  let along = select(1u, columns, tall);
  var square = 0.0;
  for (var i = t; i < rows * columns; i += 256u) { square += valueAt(at + i) * valueAt(at + i); }
  sums[t] = square;
  workgroupBarrier();
  var whole = 0.0;
  for (var i = 0u; i < 256u; i += 1u) { whole += sums[i]; }
  let inverse = 1.0 / (sqrt(whole) + 1e-7);
  for (var i = t; i < rows * columns; i += 256u) {
    setValue(at + i, valueAt(at + i) * inverse);
    setValue(stepsAt(0u) + i, valueAt(at + i));
  }
  let gram = stepsAt(1u);
  let polynomial = gram + less * less;
  let y = Matrix(at, across, along);
  for (var op = 0u; op < 15u; op += 1u) {
    let step = op / 3u;
    var f = vec3f(4.0848, -6.8946, 2.9270);
    if (step == 1u) { f = vec3f(3.9505, -6.3029, 2.6377); }
    if (step == 2u) { f = vec3f(3.7418, -5.5913, 2.3037); }
    if (step == 3u) { f = vec3f(2.8769, -3.1427, 1.2046); }
    if (step == 4u) { f = vec3f(2.8366, -3.0525, 1.2012); }
    let squares = Matrix(gram, less, 1u);
    var g = Product(y, Matrix(at, along, across), squares, less, less, more, 1.0, 0.0);
    if (op % 3u == 1u) { g = Product(squares, squares, Matrix(polynomial, less, 1u), less, less, less, f.z, f.y); }
    if (op % 3u == 2u) {
      g = Product(Matrix(polynomial, less, 1u), y, Matrix(stepsAt(0u), across, along), less, more, less, 1.0, f.x);
    }
    sync();
    multiply(g, t);
    sync();
    // each polynomial is added to its first power, and each step to the matrix before
    if (op % 3u == 0u) { for (var i = t; i < less * less; i += 256u) { setValue(polynomial + i, valueAt(gram + i)); } }
    if (op % 3u == 2u) { for (var i = t; i < rows * columns; i += 256u) { setValue(at + i, valueAt(stepsAt(0u) + i)); } }
  }
  sync();
}

// The end of a chunk: gradients, with momentum, made orthogonal if so asked, are added, and rows get back their norms.
fn update(factor: f32, t: u32) {
  if (p.momentum != 0u) {
    let momentum = stateOf(p.momentumOut, wholeSize());
    for (var i = t; i < wholeSize(); i += 256u) {
      let sum = valueAt(gradients() + i) + factor * loadF(momentum + i * 4u);
      setValue(gradients() + i, sum);
      storeF(momentum + i * 4u, sum);
    }
    sync();
  }
  for (var n = 0u; n < 3u; n += 1u) {
    let rows = rowsOf(n);
    let columns = columnsOf(n);
    let at = startOf(n);
    if (p.muon != 0) { newtonSchulz(gradients() + at, rows, columns, t); }
    for (var i = t; i < rows * columns; i += 256u) {
      setValue(at + i, valueAt(at + i) + valueAt(gradients() + at + i));
      setValue(gradients() + at + i, 0.0);
    }
    sync();
    let norms = normsAt() + select(select(0u, u32(p.dh), n > 0u), u32(p.dh + p.dv), n > 1u);
    for (var row = t; row < rows; row += 256u) {
      let scale = valueAt(norms + row) / (rowNorm(at + row * columns, columns) + NORM_EPS);
      for (var j = 0u; j < columns; j += 1u) { setValue(at + row * columns + j, valueAt(at + row * columns + j) * scale); }
    }
  }
}

// Loads the states of a head.
fn openHead(within: bool, t: u32) {
  for (var n = 0u; n < 3u; n += 1u) {
    let rows = rowsOf(n);
    let columns = columnsOf(n);
    let size = rows * columns;
    let w = stateOf(select(select(p.w0In, p.w1In, n > 0u), p.w2In, n > 1u), size);
    for (var i = t; i < size; i += 256u) {
      setValue(startOf(n) + i, loadF(w + i * 4u));
      var g = 0.0;
      if (within && p.gradientIn != 0u) { g = loadF(stateOf(p.gradientIn, wholeSize()) + (startOf(n) + i) * 4u); }
      setValue(gradients() + startOf(n) + i, g);
    }
  }
  sync();
  let count = u32(2 * p.dh + p.dv);
  let dh = u32(p.dh);
  let dv = u32(p.dv);
  for (var i = t; i < count; i += 256u) {
    var norm = 0.0;
    if (p.normsIn != 0u) {
      norm = loadF(stateOf(p.normsIn, count) + i * 4u);
    } else {
      let n = select(select(0u, 1u, i >= dh), 2u, i >= dh + dv);
      let row = i - select(select(0u, dh, i >= dh), dh + dv, i >= dh + dv);
      norm = rowNorm(startOf(n) + row * columnsOf(n), columnsOf(n));
    }
    setValue(normsAt() + i, norm);
  }
  if (p.momentum != 0u) {
    for (var i = t; i < wholeSize(); i += 256u) {
      var m = 0.0;
      if (p.momentumIn != 0u) { m = loadF(stateOf(p.momentumIn, wholeSize()) + i * 4u); }
      storeF(stateOf(p.momentumOut, wholeSize()) + i * 4u, m);
    }
  }
}

fn closeHead(t: u32) {
  for (var i = t; i < wholeSize(); i += 256u) {
    let n = select(select(0u, 1u, i >= startOf(1u)), 2u, i >= startOf(2u));
    let w = stateOf(select(select(p.w0Out, p.w1Out, n > 0u), p.w2Out, n > 1u), rowsOf(n) * columnsOf(n));
    storeF(w + (i - startOf(n)) * 4u, valueAt(i));
    storeF(stateOf(p.gradientOut, wholeSize()) + i * 4u, valueAt(gradients() + i));
  }
  let count = u32(2 * p.dh + p.dv);
  for (var i = t; i < count; i += 256u) { storeF(stateOf(p.normsOut, count) + i * 4u, valueAt(normsAt() + i)); }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let sequence = group / u32(p.heads);
  head = i32(group - sequence * u32(p.heads));
  if (t == 0u) {
    sequenceWords[0] = bitcast<vec4i>(loadU4(p.sequences + sequence * 32u));
    sequenceWords[1] = bitcast<vec4i>(loadU4(p.sequences + sequence * 32u + 16u));
  }
  let words = workgroupUniformLoad(&sequenceWords);
  batch = words[0].x;
  start = words[0].y;
  let length = u32(words[0].z);
  var position = u32(words[1].y);
  stateIndex = group;
  base = p.scratch + group * p.groupBytes;
  var factor = 0.0;
  if (p.momentum != 0u && position > 0u) { factor = loadF(stateOf(p.factorIn, 1u)); }
  openHead(position > 0u, t);
  for (var token = 0u; token < length; ) {
    let count = min(BLOCK, min(u32(p.chunk) - position, length - token));
    for (var op = 0u; op < 9u; op += 1u) {
      let keys = op > 2u;
      sync();
      if (op == 0u || op == 3u) { loadTokens(keys, i32(token), count, t); }
      if (op == 2u || op == 6u) { activate(keys, i32(token), count, t); }
      sync();
      multiply(productOf(op, count), t);
      if (op == 2u) {
        sync();
        writeOutputs(i32(token), count, t);
      }
    }
    if (p.momentum != 0u) {
      for (var i = token; i < token + count; i += 1u) {
        factor += loadF(p.momentum + u32(elementAt(p.momentumStrideB, p.momentumStrideT, p.momentumStrideH, i32(i))) * 4u);
      }
    }
    position += count;
    token += count;
    if (position == u32(p.chunk)) {
      sync();
      update(factor / f32(p.chunk), t);
      factor = 0.0;
      position = 0u;
    }
  }
  sync();
  closeHead(t);
  if (t == 0u) {
    if (p.momentum != 0u) { storeF(stateOf(p.factorOut, 1u), factor); }
    if (head == 0) { storeI(p.positionOut + sequence * 4u, i32(position)); }
  }
}
