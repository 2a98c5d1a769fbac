/**
 * Terms: what a subgraph of FlexAttention computes from the scores, element by element.
 *
 * @module
 */
import type { ElementOperation } from '../engines/expression.ts';
import { sizeOf } from '../tensor.ts';

/** Kinds of element: widths make no difference, as arithmetic is that of float32. */
export type ElementType = 'float' | 'int' | 'bool';

/** A value of a graph: the scores, constants, or an operation on such element by element, shapes broadcast. */
export type Term =
  | { readonly kind: 'scores'; readonly type: ElementType; readonly shape: readonly number[] }
  | {
      readonly kind: 'constant';
      readonly type: ElementType;
      readonly shape: readonly number[];
      readonly data: Float64Array;
    }
  | {
      readonly kind: 'apply';
      readonly type: ElementType;
      readonly shape: readonly number[];
      readonly operation: ElementOperation;
      readonly operands: readonly Term[];
    };

/** A term whose values are known. */
export type Constant = Extract<Term, { kind: 'constant' }>;

/** Constants up to this size are expanded in memory. */
const MOST_EXPANDED = 64;

/** A single value. */
export function scalar(type: ElementType, value: number): Constant {
  return { kind: 'constant', type, shape: [], data: Float64Array.of(value) };
}

/** A row of values. */
export function vector(type: ElementType, values: readonly number[]): Constant {
  return { kind: 'constant', type, shape: [values.length], data: Float64Array.from(values) };
}

/** The shape that two broadcast to by NumPy's rules, or undefined. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const shape: number[] = [];
  for (let axis = 0; axis < rank; ++axis) {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) return undefined;
    shape.push(m === 1 ? n : m);
  }
  return shape;
}

/** Whether a term is not the same for all scores. */
export function dependsOnScores(term: Term): boolean {
  return term.kind === 'scores' || (term.kind === 'apply' && term.operands.some(dependsOnScores));
}

/** What an operation does to single elements. */
const EVALUATE: Readonly<Record<ElementOperation, (x: number, y: number, z: number) => number>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  min: (x, y) => Math.min(x, y),
  max: (x, y) => Math.max(x, y),
  greater: (x, y) => Number(x > y),
  greaterOrEqual: (x, y) => Number(x >= y),
  less: (x, y) => Number(x < y),
  lessOrEqual: (x, y) => Number(x <= y),
  equal: (x, y) => Number(x === y),
  where: (x, y, z) => (x !== 0 ? y : z),
  neg: (x) => -x,
  abs: Math.abs,
  not: (x) => 1 - x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  relu: (x) => (x < 0 ? 0 : x),
  floor: Math.floor,
  ceil: Math.ceil,
  round: (x) => {
    const down = Math.floor(x);
    const rest = x - down;
    return rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down;
  },
  trunc: Math.trunc,
};

/** A term that does not depend on scores as one array. */
export function inFull(term: Term): Constant {
  if (term.kind === 'constant') return term;
  if (term.kind === 'scores') throw new Error('scores have no values before they are computed');
  const operands = term.operands.map((operand) => at(inFull(operand), term.shape));
  const data = new Float64Array(sizeOf(term.shape));
  const compute = EVALUATE[term.operation];
  for (let n = 0; n < data.length; ++n) {
    data[n] = compute(operands[0]!(n), operands[1]?.(n) ?? 0, operands[2]?.(n) ?? 0);
  }
  return { kind: 'constant', type: term.type, shape: term.shape, data };
}

/** A constant's element by its place in a shape that it broadcasts to. */
function at({ shape, data }: Constant, to: readonly number[]): (n: number) => number {
  if (shape.join() === to.join()) return (n) => data[n]!;
  if (data.length === 1) return () => data[0]!;
  return (n) => {
    let place = 0;
    let rest = n;
    let step = 1;
    for (let axis = 1; axis <= to.length; ++axis) {
      const length = to[to.length - axis]!;
      const own = shape[shape.length - axis] ?? 1;
      if (own !== 1) place += (rest % length) * step;
      rest = Math.floor(rest / length);
      step *= own;
    }
    return data[place]!;
  };
}

/** A constant with its axes in another order. */
export function permuted({ type, shape, data }: Constant, order: readonly number[]): Constant {
  const next = order.map((axis) => shape[axis]!);
  const steps = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const out = new Float64Array(data.length);
  for (let n = 0; n < out.length; ++n) {
    let rest = n;
    let from = 0;
    for (let axis = next.length - 1; axis >= 0; --axis) {
      from += (rest % next[axis]!) * steps[order[axis]!]!;
      rest = Math.floor(rest / next[axis]!);
    }
    out[n] = data[from]!;
  }
  return { kind: 'constant', type, shape: next, data: out };
}

/** A term repeated to a shape. */
export function expanded(term: Term, shape: readonly number[]): Term {
  const { type } = term;
  const larger: Term = { kind: 'apply', type, shape, operation: 'add', operands: [term, scalar(type, 0)] };
  return sizeOf(shape) <= MOST_EXPANDED && !dependsOnScores(term) ? inFull(larger) : larger;
}

/** An operation on terms, computed at once where that makes nothing larger. */
export function apply(operation: ElementOperation, type: ElementType, ...operands: Term[]): Term | undefined {
  const shape = operands.reduce<number[] | undefined>((all, term) => all && broadcastShape(all, term.shape), []);
  if (!shape) return undefined;
  const term: Term = { kind: 'apply', type, shape, operation, operands };
  const known = operands.every(({ kind }) => kind === 'constant');
  const largest = Math.max(...operands.map((operand) => sizeOf(operand.shape)));
  return known && sizeOf(shape) <= largest ? inFull(term) : term;
}
