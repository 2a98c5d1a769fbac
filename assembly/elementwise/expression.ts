import { ExpressionParams } from '../params';
import { ONE } from '../simd/constants';
import { exp4 } from '../simd/exp';
import { log4 } from '../simd/log4';
import { sigmoid4 } from '../simd/sigmoid';
import { tanh4 } from '../simd/tanh';

/** Columns of a register: its rows of a whole expression stay in the first-level cache. */
const SEGMENT: i32 = 256;
const REGISTER: usize = (<usize>SEGMENT) << 2;
/** Words of an instruction: operation, register to write, and up to six operands. */
const WORDS: usize = 8;

const INPUT: i32 = 0;
const CONSTANT: i32 = 1;
const TENSOR: i32 = 2;
const ADD: i32 = 3;
const SUB: i32 = 4;
const MUL: i32 = 5;
const DIV: i32 = 6;
const MIN: i32 = 7;
const MAX: i32 = 8;
const GREATER: i32 = 9;
const GREATER_OR_EQUAL: i32 = 10;
const LESS: i32 = 11;
const LESS_OR_EQUAL: i32 = 12;
const EQUAL: i32 = 13;
const WHERE: i32 = 14;
const NEG: i32 = 15;
const ABS: i32 = 16;
const NOT: i32 = 17;
const EXP: i32 = 18;
const LOG: i32 = 19;
const SQRT: i32 = 20;
const TANH: i32 = 21;
const SIGMOID: i32 = 22;
const RELU: i32 = 23;
const FLOOR: i32 = 24;
const CEIL: i32 = 25;
const ROUND: i32 = 26;
const TRUNC: i32 = 27;

/** One where a comparison holds, else zero. */
// @ts-ignore: decorator
@inline
function truth(mask: v128): v128 {
  return v128.and(mask, v128.load(ONE));
}

// @ts-ignore: decorator
@inline
function binary4(x: v128, y: v128, op: i32): v128 {
  if (op == SUB) return f32x4.sub(x, y);
  if (op == MUL) return f32x4.mul(x, y);
  if (op == DIV) return f32x4.div(x, y);
  if (op == MIN) return f32x4.min(x, y);
  if (op == MAX) return f32x4.max(x, y);
  if (op == GREATER) return truth(f32x4.gt(x, y));
  if (op == GREATER_OR_EQUAL) return truth(f32x4.ge(x, y));
  if (op == LESS) return truth(f32x4.lt(x, y));
  if (op == LESS_OR_EQUAL) return truth(f32x4.le(x, y));
  if (op == EQUAL) return truth(f32x4.eq(x, y));
  return f32x4.add(x, y);
}

// @ts-ignore: decorator
@inline
function unary4(x: v128, op: i32): v128 {
  if (op == NEG) return f32x4.neg(x);
  if (op == ABS) return f32x4.abs(x);
  if (op == NOT) return f32x4.sub(v128.load(ONE), x);
  if (op == EXP) return exp4(x);
  if (op == LOG) return log4(x);
  if (op == SQRT) return f32x4.sqrt(x);
  if (op == TANH) return tanh4(x);
  if (op == SIGMOID) return sigmoid4(x);
  // NaN stays NaN: pmax gives its first operand unless that is the smaller one
  if (op == RELU) return f32x4.pmax(x, i32x4.splat(0));
  if (op == FLOOR) return f32x4.floor(x);
  if (op == CEIL) return f32x4.ceil(x);
  if (op == ROUND) return f32x4.nearest(x);
  return f32x4.trunc(x);
}

/** o = x op y over `bytes`, inlined once for each operation so that no loop asks for it. */
// @ts-ignore: decorator
@inline
function binaryAs(x: usize, y: usize, o: usize, bytes: usize, op: i32): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(o + i, binary4(v128.load(x + i), v128.load(y + i), op));
}

// @ts-ignore: decorator
@inline
function unaryAs(x: usize, o: usize, bytes: usize, op: i32): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(o + i, unary4(v128.load(x + i), op));
}

function binaryRow(x: usize, y: usize, o: usize, bytes: usize, op: i32): void {
  if (op == ADD) binaryAs(x, y, o, bytes, ADD);
  else if (op == SUB) binaryAs(x, y, o, bytes, SUB);
  else if (op == MUL) binaryAs(x, y, o, bytes, MUL);
  else if (op == DIV) binaryAs(x, y, o, bytes, DIV);
  else if (op == MIN) binaryAs(x, y, o, bytes, MIN);
  else if (op == MAX) binaryAs(x, y, o, bytes, MAX);
  else if (op == GREATER) binaryAs(x, y, o, bytes, GREATER);
  else if (op == GREATER_OR_EQUAL) binaryAs(x, y, o, bytes, GREATER_OR_EQUAL);
  else if (op == LESS) binaryAs(x, y, o, bytes, LESS);
  else if (op == LESS_OR_EQUAL) binaryAs(x, y, o, bytes, LESS_OR_EQUAL);
  else binaryAs(x, y, o, bytes, EQUAL);
}

function unaryRow(x: usize, o: usize, bytes: usize, op: i32): void {
  if (op == NEG) unaryAs(x, o, bytes, NEG);
  else if (op == ABS) unaryAs(x, o, bytes, ABS);
  else if (op == NOT) unaryAs(x, o, bytes, NOT);
  else if (op == EXP) unaryAs(x, o, bytes, EXP);
  else if (op == LOG) unaryAs(x, o, bytes, LOG);
  else if (op == SQRT) unaryAs(x, o, bytes, SQRT);
  else if (op == TANH) unaryAs(x, o, bytes, TANH);
  else if (op == SIGMOID) unaryAs(x, o, bytes, SIGMOID);
  else if (op == RELU) unaryAs(x, o, bytes, RELU);
  else if (op == FLOOR) unaryAs(x, o, bytes, FLOOR);
  else if (op == CEIL) unaryAs(x, o, bytes, CEIL);
  else if (op == ROUND) unaryAs(x, o, bytes, ROUND);
  else unaryAs(x, o, bytes, TRUNC);
}

/** o = x where condition is not zero, else y. */
function whereRow(condition: usize, x: usize, y: usize, o: usize, bytes: usize): void {
  const zero = i32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const shown = f32x4.ne(v128.load(condition + i), zero);
    v128.store(o + i, v128.bitselect(v128.load(x + i), v128.load(y + i), shown));
  }
}

/** Fills `bytes` with one value. */
function fillRow(o: usize, bytes: usize, value: f32): void {
  const x = f32x4.splat(value);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(o + i, x);
}

/** n elements of a row of a tensor, one after another, or one of them again and again. */
function loadRow(from: usize, step: i32, o: usize, n: i32, bytes: usize): void {
  if (step == 1) memory.copy(o, from, (<usize>n) << 2);
  else if (step == 0) fillRow(o, bytes, load<f32>(from));
  else for (let i: usize = 0; i < <usize>n; ++i) store<f32>(o + (i << 2), load<f32>(from + ((i * <usize>step) << 2)));
}

// @ts-ignore: decorator
@inline
function register(scratch: usize, index: i32): usize {
  return scratch + <usize>index * REGISTER;
}

/** Registers of one thread. */
export function expressionScratchBytes(params: usize): i32 {
  return changetype<ExpressionParams>(params).registers * <i32>REGISTER;
}

/**
 * An expression of each element of a map and of tensors that repeat along its axes, by a straight-line program of registers.
 *
 *   x     f32 [B, H, T, n]  any strides, last axis contiguous; absent where no instruction reads it
 *   o     f32 [B, H, T, n]  likewise; may be x
 *   code  i32 [instructions, 8]: operation, register, then operands: registers; bits of a constant; or address and strides of a
 *         tensor f32 [B, H, T, n]. Comparisons give 1 or 0. The first `constants` instructions only fill registers of their own.
 *
 * Item: one row. Scratch: expressionScratchBytes.
 */
export function expression(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ExpressionParams>(params);
  const words = p.code + ((<usize>p.instructions * WORDS) << 2);
  const body = p.code + ((<usize>p.constants * WORDS) << 2);
  for (let at = p.code; at < body; at += WORDS << 2) {
    fillRow(register(scratch, load<i32>(at, 4)), REGISTER, load<f32>(at, 8));
  }
  for (let item = begin; item < end; ++item) {
    const position = item / p.rows;
    const t = item - position * p.rows;
    const batch = position / p.heads;
    const h = position - batch * p.heads;
    const x = p.x + ((<usize>(batch * p.xStrideB + h * p.xStrideH + t * p.xStrideT)) << 2);
    const o = p.o + ((<usize>(batch * p.oStrideB + h * p.oStrideH + t * p.oStrideT)) << 2);
    for (let column = 0; column < p.columns; column += SEGMENT) {
      const n = min(SEGMENT, p.columns - column);
      const bytes = (<usize>((n + 3) & ~3)) << 2;
      const skipped = (<usize>column) << 2;
      for (let at = body; at < words; at += WORDS << 2) {
        const op = load<i32>(at);
        const to = register(scratch, load<i32>(at, 4));
        if (op == INPUT) {
          memory.copy(to, x + skipped, (<usize>n) << 2);
        } else if (op == TENSOR) {
          const step = load<i32>(at, 24);
          const element = batch * load<i32>(at, 12) + h * load<i32>(at, 16) + t * load<i32>(at, 20) + column * step;
          loadRow(<usize>load<i32>(at, 8) + ((<usize>element) << 2), step, to, n, bytes);
        } else {
          const a = register(scratch, load<i32>(at, 8));
          const b = register(scratch, load<i32>(at, 12));
          if (op < WHERE) binaryRow(a, b, to, bytes, op);
          else if (op == WHERE) whereRow(a, b, register(scratch, load<i32>(at, 16)), to, bytes);
          else unaryRow(a, to, bytes, op);
        }
      }
      memory.copy(o + skipped, register(scratch, p.result), (<usize>n) << 2);
    }
  }
}
