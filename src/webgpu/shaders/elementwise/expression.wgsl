//! params ExpressionParams
//! extra items: u32, each: u32, infinity: u32
//! const REGISTERS
//! use group
// An expression of each element of a map and of tensors that repeat along its axes, by a straight-line program of registers.
//
//   x     f32 [B, H, T, n]  any strides, last axis contiguous; absent where no instruction reads it
//   o     f32 [B, H, T, n]  likewise; may be x
//   code  i32 [instructions, 8]: operation, register, then operands: registers; bits of a constant; or address and strides of a
//         tensor f32 [B, H, T, n]. Comparisons give 1 or 0.
//
// Thread: four columns of a row, all instructions; `each` threads a row. `infinity`: its bits.

// One where a comparison holds, else zero.
fn truth(holds: vec4<bool>) -> vec4f { return select(vec4f(0.0), vec4f(1.0), holds); }

fn apply(operation: u32, x: vec4f, y: vec4f, z: vec4f) -> vec4f {
  switch operation {
    case 3u: { return x + y; }
    case 4u: { return x - y; }
    case 5u: { return x * y; }
    case 6u: { return x / y; }
    case 7u: { return min(x, y); }
    case 8u: { return max(x, y); }
    case 9u: { return truth(x > y); }
    case 10u: { return truth(x >= y); }
    case 11u: { return truth(x < y); }
    case 12u: { return truth(x <= y); }
    case 13u: { return truth(x == y); }
    case 14u: { return select(z, y, x != vec4f(0.0)); }
    case 15u: { return -x; }
    case 16u: { return abs(x); }
    case 17u: { return 1.0 - x; }
    case 18u: { return exponential(x); }
    case 19u: { return logarithm(x); }
    case 20u: { return sqrt(x); }
    case 21u: { return tanh(clamp(x, vec4f(-20.0), vec4f(20.0))); }
    case 22u: { return 1.0 / (1.0 + exponential(-x)); }
    case 23u: { return select(x, vec4f(0.0), x < vec4f(0.0)); }
    case 24u: { return floor(x); }
    case 25u: { return ceil(x); }
    case 26u: { return round(x); }
    default: { return trunc(x); }
  }
}

// The text of a shader may not hold it: its bits are a param.
fn infinity() -> vec4f { return bitcast<vec4f>(vec4u(p.infinity)); }

// e^x, infinite where it is above the largest number.
fn exponential(x: vec4f) -> vec4f {
  let most = vec4f(88.72283);
  return select(exp(clamp(x, vec4f(-104.0), most)), infinity(), x > most);
}

fn logarithm(x: vec4f) -> vec4f { return select(log(x), -infinity(), x == vec4f(0.0)); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 64u + t;
  let item = i / p.each;
  if (item >= p.items) { return; }
  let column = (i - item * p.each) * 4u;
  let columns = u32(p.columns);
  let position = item / u32(p.rows);
  let row = i32(item - position * u32(p.rows));
  let batch = i32(position / u32(p.heads));
  let h = i32(position) - batch * p.heads;
  let x = p.x + u32(batch * p.xStrideB + h * p.xStrideH + row * p.xStrideT) * 4u;
  let o = p.o + u32(batch * p.oStrideB + h * p.oStrideH + row * p.oStrideT) * 4u;
  var registers: array<vec4f, REGISTERS>;
  var at = p.code;
  let end = p.code + u32(p.instructions) * 32u;
  while (at < end) {
    let operation = loadU(at);
    var value = vec4f(0.0);
    if (operation == 1u) {
      value = vec4f(loadF(at + 8u));
    } else if (operation == 0u || operation == 2u) {
      var source = x;
      var step = 1;
      if (operation == 2u) {
        let strides = vec3i(loadI(at + 12u), loadI(at + 16u), loadI(at + 20u));
        step = loadI(at + 24u);
        source = loadU(at + 8u) + u32(batch * strides.x + h * strides.y + row * strides.z) * 4u;
      }
      for (var j = 0u; j < 4u; j++) { value[j] = loadF(source + u32(i32(min(column + j, columns - 1u)) * step) * 4u); }
    } else {
      value = apply(operation, registers[loadU(at + 8u)], registers[loadU(at + 12u)], registers[loadU(at + 16u)]);
    }
    registers[loadU(at + 4u)] = value;
    at += 32u;
  }
  let result = registers[u32(p.result)];
  for (var j = 0u; j < min(4u, columns - column); j++) { storeF(o + (column + j) * 4u, result[j]); }
}
