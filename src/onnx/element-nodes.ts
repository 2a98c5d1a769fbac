/**
 * ONNX's nodes that work element by element, as operations on terms.
 *
 * @module
 */
import type { ElementOperation } from '../engines/expression.ts';
import { apply, type ElementType, scalar, type Term } from './term.ts';

/** Element types by their numbers in TensorProto.DataType. */
const CAST_TYPES: Readonly<Record<number, ElementType>> = {
  1: 'float',
  2: 'int',
  3: 'int',
  4: 'int',
  5: 'int',
  6: 'int',
  7: 'int',
  9: 'bool',
  10: 'float',
  11: 'float',
  12: 'int',
  13: 'int',
  16: 'float',
};

/** Makes the term of a node, or says why not. */
export type Build = (operands: readonly Term[], attributes: Readonly<Record<string, unknown>>) => Term | string;

function shapesOf(operands: readonly Term[]): string {
  return `has inputs of shapes ${operands.map(({ shape }) => `[${shape}]`).join(' and ')}, which do not broadcast`;
}

/** A node of `count` operands, all of one type if there are more than one, whose result is of that type or of `type`. */
function plain(operation: ElementOperation, count: number, type?: ElementType): Build {
  return (operands) => {
    if (operands.length !== count) return `has ${operands.length} inputs, expected ${count}`;
    const types = new Set(operands.map((operand) => operand.type));
    if (types.size > 1) return `has inputs of types ${[...types].join(' and ')}; Cast one`;
    return apply(operation, type ?? operands[0]!.type, ...operands) ?? shapesOf(operands);
  };
}

/** Min, Max and Sum, which take any number. */
function folded(operation: ElementOperation): Build {
  return (operands) => {
    if (operands.length === 0) return 'has no inputs';
    let all: Term = operands[0]!;
    for (const operand of operands.slice(1)) {
      const next = apply(operation, all.type, all, operand);
      if (!next) return shapesOf(operands);
      all = next;
    }
    return all;
  };
}

function chain(term: Term | undefined, ...operations: ElementOperation[]): Term | undefined {
  return operations.reduce<Term | undefined>((x, operation) => x && apply(operation, x.type, x), term);
}

const float = (value: number) => scalar('float', value);

function power([x, y]: readonly Term[]): Term | string {
  if (!x || !y) return 'needs two inputs';
  const exponent = y.kind === 'constant' && y.data.length === 1 ? y.data[0]! : undefined;
  const square = apply('mul', x.type, x, x)!;
  switch (exponent) {
    case 1:
      return x;
    case 2:
      return square;
    case 3:
      return apply('mul', x.type, square, x)!;
    case 0.5:
      return apply('sqrt', x.type, x)!;
    case -1:
      return apply('div', x.type, float(1), x)!;
    default:
      return 'has an exponent that is not one of the constants 0.5, 1, 2, 3 and -1';
  }
}

/** ONNX's nodes that work element by element. */
export const ELEMENTWISE: Readonly<Record<string, Build>> = {
  Add: plain('add', 2),
  Sub: plain('sub', 2),
  Mul: plain('mul', 2),
  Div: (operands) => {
    const quotient = plain('div', 2)(operands, {});
    // integers divide towards zero
    return typeof quotient === 'string' || quotient.type !== 'int' ? quotient : apply('trunc', 'int', quotient)!;
  },
  Mod: (operands, { fmod }) => {
    const [x, y] = operands;
    if (!x || !y || x.type !== 'int' || fmod) return 'is not of integers';
    const quotient = apply('div', 'int', x, y);
    if (!quotient) return shapesOf(operands);
    return apply('sub', 'int', x, apply('mul', 'int', y, chain(quotient, 'floor')!)!)!;
  },
  Pow: power,
  Sum: folded('add'),
  Min: folded('min'),
  Max: folded('max'),
  Clip: (operands) => {
    const [x, low, high] = operands as [Term, Term, Term];
    const raised = apply('max', x.type, x, low);
    return (raised && apply('min', x.type, raised, high)) ?? shapesOf(operands);
  },
  Greater: plain('greater', 2, 'bool'),
  GreaterOrEqual: plain('greaterOrEqual', 2, 'bool'),
  Less: plain('less', 2, 'bool'),
  LessOrEqual: plain('lessOrEqual', 2, 'bool'),
  Equal: plain('equal', 2, 'bool'),
  And: plain('mul', 2, 'bool'),
  Or: plain('max', 2, 'bool'),
  Xor: (operands) => {
    const same = plain('equal', 2, 'bool')(operands, {});
    return typeof same === 'string' ? same : apply('not', 'bool', same)!;
  },
  Not: plain('not', 1),
  Where: (operands) => {
    const [condition, x, y] = operands;
    if (!condition || !x || !y) return 'needs three inputs';
    if (condition.type !== 'bool') return `has a condition of type ${condition.type}, expected bool`;
    if (x.type !== y.type) return `has inputs of types ${x.type} and ${y.type}; Cast one`;
    return apply('where', x.type, condition, x, y) ?? shapesOf(operands);
  },
  Neg: plain('neg', 1),
  Abs: plain('abs', 1),
  Exp: plain('exp', 1),
  Log: plain('log', 1),
  Sqrt: plain('sqrt', 1),
  Reciprocal: ([x]) => (x ? apply('div', x.type, float(1), x)! : 'has no inputs'),
  Tanh: plain('tanh', 1),
  Sigmoid: plain('sigmoid', 1),
  Relu: plain('relu', 1),
  Floor: plain('floor', 1),
  Ceil: plain('ceil', 1),
  Round: plain('round', 1),
  Sign: ([x]) => {
    if (!x) return 'has no inputs';
    const zero = scalar(x.type, 0);
    return apply('sub', x.type, apply('greater', x.type, x, zero)!, apply('less', x.type, x, zero)!)!;
  },
  Identity: ([x]) => x ?? 'has no inputs',
  Cast: ([x], { to }) => {
    const type = CAST_TYPES[Number(to)];
    if (!x) return 'has no inputs';
    if (!type) return `casts to type ${to}, expected a number of TensorProto.DataType that is not a string`;
    if (type === 'bool' && x.type !== 'bool')
      return apply('not', 'bool', apply('equal', 'bool', x, scalar(x.type, 0))!)!;
    if (type === 'int' && x.type === 'float') return apply('trunc', 'int', x)!;
    return { ...x, type };
  },
};
