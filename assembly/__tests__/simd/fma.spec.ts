import { fma } from '../../simd/fma';

// a b = 1 - 2^-46, which f32 rounds to 1
const A: f32 = 1.00000011920928955078125;
const B: f32 = 0.99999988079071044921875;
const LOST: f32 = 1.4210854715202004e-14;

// Operands come from memory: the optimiser folds a relaxed_madd of constants as a + b * c (Binaryen of asc 0.27).
const operands = heap.alloc(48);
const result = heap.alloc(16);

/** Runs fma on operands whose lanes are a, b and c. */
function run(a: StaticArray<f32>, b: StaticArray<f32>, c: StaticArray<f32>): void {
  memory.copy(operands, changetype<usize>(a), 16);
  memory.copy(operands + 16, changetype<usize>(b), 16);
  memory.copy(operands + 32, changetype<usize>(c), 16);
  const x = v128.load(operands);
  const y = v128.load(operands, 16);
  const z = v128.load(operands, 32);
  v128.store(result, fma(x, y, z));
}

function splat(x: f32): StaticArray<f32> {
  return [x, x, x, x];
}

function lane(i: i32): f32 {
  return load<f32>(result + ((<usize>i) << 2));
}

/** Lane 0 of a * b + c. */
function one(a: f32, b: f32, c: f32): f32 {
  run(splat(a), splat(b), splat(c));
  return lane(0);
}

describe('fma', () => {
  it('adds a * b to c, lane by lane', () => {
    const a: StaticArray<f32> = [1, -2, 3, 0.5];
    const b: StaticArray<f32> = [4, 5, -6, 0.25];
    const c: StaticArray<f32> = [10, 20, 30, -0.125];
    const sums: StaticArray<f32> = [14, 10, 12, 0];
    run(a, b, c);
    for (let i = 0; i < 4; ++i) expect<f32>(lane(i)).toBe(sums[i]);
  });

  it('rounds once or twice, and twice without relaxed SIMD', () => {
    const first = one(A, B, -1);
    if (ASC_FEATURE_RELAXED_SIMD) expect<bool>(first == 0 || first == -LOST).toBe(true);
    else expect<f32>(first).toBe(0);
    for (let i = 1; i < 4; ++i) expect<f32>(lane(i)).toBe(first, 'one rounding for all lanes');
  });

  it('passes infinities and NaN on', () => {
    expect<f32>(one(Infinity, 2, 1)).toBe(Infinity);
    expect<f32>(one(Infinity, 0, 1)).toBeNaN();
    expect<f32>(one(Infinity, 1, -Infinity)).toBeNaN();
  });
});
