/**
 * Host side of the expression kernel: element-wise arithmetic on maps [B, H, T, n] as one pass over them.
 *
 * @module
 */
import { ExpressionParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** What an instruction does; the kernel knows it by its place. Comparisons give 1 or 0. */
const OPERATIONS = [
  'input',
  'constant',
  'tensor',
  'add',
  'sub',
  'mul',
  'div',
  'min',
  'max',
  'greater',
  'greaterOrEqual',
  'less',
  'lessOrEqual',
  'equal',
  'where',
  'neg',
  'abs',
  'not',
  'exp',
  'log',
  'sqrt',
  'tanh',
  'sigmoid',
  'relu',
  'floor',
  'ceil',
  'round',
  'trunc',
] as const;

/** An operation on elements. */
export type ElementOperation = Exclude<(typeof OPERATIONS)[number], 'input' | 'constant' | 'tensor'>;

/** A value of each element; one object that stands in several places is computed once. */
export type Expression =
  | { readonly kind: 'input' }
  | { readonly kind: 'constant'; readonly value: number }
  /** f32 [B, H, T, n], 1 for an axis along which it repeats. */
  | { readonly kind: 'tensor'; readonly tensor: Tensor }
  | { readonly kind: 'apply'; readonly operation: ElementOperation; readonly operands: readonly Expression[] };

const WORDS = 8;
const word = new DataView(new ArrayBuffer(4));

function floatBits(x: number): number {
  word.setFloat32(0, x, true);
  return word.getInt32(0, true);
}

/** A straight-line program of registers. */
interface Program {
  readonly code: Int32Array;
  readonly constants: number;
  readonly registers: number;
  readonly result: number;
}

/** The expression's parts, operands before what uses them, each once. */
function inOrder(root: Expression): Expression[] {
  const order: Expression[] = [];
  const seen = new Set<Expression>();
  const visit = (part: Expression) => {
    if (seen.has(part)) return;
    seen.add(part);
    if (part.kind === 'apply') for (const operand of part.operands) visit(operand);
    order.push(part);
  };
  visit(root);
  return order;
}

function compile(root: Expression, rows: readonly number[]): Program {
  const order = inOrder(root);
  const uses = new Map<Expression, number>();
  for (const part of order) {
    if (part.kind === 'apply') for (const operand of part.operands) uses.set(operand, (uses.get(operand) ?? 0) + 1);
  }
  const registers = new Map<Expression, number>();
  const free: number[] = [];
  let count = 0;
  const instructions: number[][] = [];
  const emit = (operation: (typeof OPERATIONS)[number], part: Expression, operands: readonly number[]) => {
    const to = free.pop() ?? count++;
    registers.set(part, to);
    const all = [OPERATIONS.indexOf(operation), to, ...operands];
    instructions.push([...all, ...new Array<number>(WORDS - all.length).fill(0)]);
  };
  const constants = order.filter((part) => part.kind === 'constant');
  for (const part of constants) emit('constant', part, [floatBits(part.value)]);
  for (const part of order) {
    if (part.kind === 'input') emit('input', part, []);
    else if (part.kind === 'tensor') {
      const { address, shape, strides } = part.tensor;
      const steps = strides.map((step, axis) => (shape[axis] === 1 && rows[axis] !== 1 ? 0 : step));
      emit('tensor', part, [address, ...steps]);
    } else if (part.kind === 'apply') {
      const operands = part.operands.map((operand) => registers.get(operand)!);
      // element by element an operation may write over what it reads
      for (const operand of part.operands) {
        const left = uses.get(operand)! - 1;
        uses.set(operand, left);
        if (left === 0 && operand.kind !== 'constant') free.push(registers.get(operand)!);
      }
      emit(part.operation, part, operands);
    }
  }
  return {
    code: Int32Array.from(instructions.flat()),
    constants: constants.length,
    registers: count,
    result: registers.get(root)!,
  };
}

/** Adds o = root for o f32 [B, H, T, n], its last axis contiguous; `x` is what the expression's input reads and may be o. */
export function evaluate(b: Builder, root: Expression, o: Tensor, x?: Tensor): void {
  const [batch, heads, rows, columns] = o.shape as [number, number, number, number];
  if (o.size === 0) return;
  const { code, ...program } = compile(root, o.shape);
  const params = encode(ExpressionParams, {
    ...program,
    code: b.table(code),
    instructions: code.length / WORDS,
    x: x?.address ?? 0,
    xStrideB: x?.strides[0] ?? 0,
    xStrideH: x?.strides[1] ?? 0,
    xStrideT: x?.strides[2] ?? 0,
    o: o.address,
    oStrideB: o.strides[0]!,
    oStrideH: o.strides[1]!,
    oStrideT: o.strides[2]!,
    heads,
    rows,
    columns,
  });
  b.dispatch({
    kernel: 'expression',
    params,
    items: batch * heads * rows,
    grain: Math.max(1, Math.ceil(4096 / columns)),
    scratchBytes: b.runtime.scratchBytes('expressionScratchBytes', params),
    flops: o.size * (code.length / WORDS - program.constants),
  });
}
