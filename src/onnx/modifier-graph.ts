/**
 * The subgraphs of FlexAttention: read node by node into a term of the scores, shapes and constants worked out on the way.
 *
 * @module
 */
import type { ElementOperation } from '../engines/expression.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { sizeOf } from '../tensor.ts';

/** A constant of a graph, its values in order; 'Infinity', '-Infinity' and 'NaN' may be strings, as JSON has no numbers for them. */
export interface GraphTensor {
  readonly name?: string;
  /** As in 'float32', 'int64' and 'bool'. */
  readonly dtype: string;
  readonly dims: readonly number[];
  readonly values: readonly (number | string | bigint | boolean)[];
}

/** A node of a graph. */
export interface GraphNode {
  readonly op: string;
  readonly domain?: string;
  readonly name?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, unknown>>;
}

/** A graph of one input and one output, as an ONNX GraphProto says it: nodes in an order in which each finds its inputs computed. */
export interface ModifierGraph {
  readonly name?: string;
  readonly nodes: readonly GraphNode[];
  readonly initializers?: readonly GraphTensor[];
  readonly inputs: readonly { readonly name: string }[];
  readonly outputs: readonly { readonly name: string }[];
}

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

type Constant = Extract<Term, { kind: 'constant' }>;

/** Most elements of a constant that only a node which is not element by element needs in full. */
const MOST_ELEMENTS = 2 ** 22;
/** Constants up to this size are expanded in memory. */
const MOST_EXPANDED = 64;

/** What goes wrong with a graph, and where. */
export class GraphReader {
  readonly #what: string;
  readonly #values = new Map<string, Term>();

  /** @param what the operation and attribute, for errors */
  constructor(what: string) {
    this.#what = what;
  }

  /**
   * The term that a graph gives for scores of a shape.
   *
   * @throws OptionError for what is no graph of one input and one output, and for nodes that cannot be computed.
   * @throws ShapeError for shapes that do not broadcast.
   */
  read(graph: ModifierGraph, shape: readonly number[]): Term {
    const what = this.#what;
    if (typeof graph !== 'object' || graph === null || !Array.isArray(graph.nodes)) {
      throw new OptionError(
        `${what} is ${JSON.stringify(graph)}, expected a graph { nodes, initializers, inputs, outputs }`,
      );
    }
    const [inputs = [], outputs = []] = [graph.inputs, graph.outputs];
    if (inputs.length !== 1 || outputs.length !== 1) {
      throw new OptionError(
        `${what} has ${inputs.length} inputs and ${outputs.length} outputs, expected a graph of one input and one output`,
      );
    }
    for (const tensor of graph.initializers ?? []) this.#values.set(tensor.name ?? '', this.#constant(tensor));
    this.#values.set(inputs[0]!.name, { kind: 'scores', type: 'float', shape });
    for (const node of graph.nodes) {
      if (node.outputs.length !== 1) this.#refuse(node, `has ${node.outputs.length} outputs, expected one`);
      this.#values.set(node.outputs[0]!, this.#apply(node));
    }
    const result = this.#values.get(outputs[0]!.name);
    if (!result) throw new OptionError(`${what}: no node computes its output '${outputs[0]!.name}'`);
    if (broadcastShape(result.shape, shape)?.join() !== shape.join() || result.type !== 'float') {
      throw new ShapeError(
        `${what} gives a ${result.type} tensor of shape [${result.shape}], expected a float tensor of shape [${shape}]`,
      );
    }
    return result;
  }

  #constant(tensor: GraphTensor): Constant {
    const { dtype, dims, values, name = '' } = tensor;
    const type = elementType(dtype);
    if (!type) throw new OptionError(`${this.#what}: constant '${name}' is of type ${dtype}, expected numbers or bool`);
    const data = Float64Array.from(values, Number);
    if (sizeOf(dims) !== data.length) {
      throw new ShapeError(`${this.#what}: constant '${name}' has ${data.length} values for the shape [${dims}]`);
    }
    return { kind: 'constant', type, shape: dims, data };
  }

  #refuse(node: GraphNode, why: string): never {
    throw new OptionError(`${this.#what}: node ${node.op} '${node.name || node.outputs[0]}' ${why}`);
  }

  #input(node: GraphNode, index: number): Term {
    const name = node.inputs[index];
    if (name === undefined || name === '') this.#refuse(node, `has no input ${index}`);
    return this.#values.get(name) ?? this.#refuse(node, `reads '${name}', which nothing before it computes`);
  }

  #optional(node: GraphNode, index: number): Term | undefined {
    return node.inputs[index] ? this.#input(node, index) : undefined;
  }

  #apply(node: GraphNode): Term {
    if (node.domain && node.domain !== 'ai.onnx')
      this.#refuse(node, `is of domain '${node.domain}', not of ONNX itself`);
    const elementwise = ELEMENTWISE[node.op];
    if (elementwise) return this.#elementwise(node, elementwise);
    const shaping = this.#shaping(node);
    if (shaping) return shaping;
    return this.#refuse(
      node,
      `cannot be computed within attention. What can: ${[...Object.keys(ELEMENTWISE), ...SHAPING].sort().join(', ')}`,
    );
  }

  #operands(node: GraphNode): Term[] {
    if (node.op !== 'Clip') return node.inputs.map((_, index) => this.#input(node, index));
    const x = this.#input(node, 0);
    const bound = (index: number, none: number) => this.#optional(node, index) ?? scalar(x.type, none);
    return [x, bound(1, Number.NEGATIVE_INFINITY), bound(2, Number.POSITIVE_INFINITY)];
  }

  #elementwise(node: GraphNode, build: Build): Term {
    const made = build(this.#operands(node), node.attributes ?? {});
    if (typeof made === 'string') this.#refuse(node, made);
    return made;
  }

  /** A constant in full, for nodes that are not element by element. */
  #known(node: GraphNode, index: number): Constant {
    const term = this.#input(node, index);
    if (dependsOnScores(term)) this.#refuse(node, `needs all of '${node.inputs[index]}', which depends on the scores`);
    if (sizeOf(term.shape) > MOST_ELEMENTS) {
      this.#refuse(
        node,
        `needs all ${sizeOf(term.shape)} elements of '${node.inputs[index]}', more than ${MOST_ELEMENTS}: broadcast later`,
      );
    }
    return inFull(term);
  }

  #integers(node: GraphNode, index: number): number[] {
    return Array.from(this.#known(node, index).data, Math.trunc);
  }

  #axes(node: GraphNode, index: number): number[] | undefined {
    if (node.inputs[index]) return this.#integers(node, index);
    return node.attributes?.axes as number[] | undefined;
  }

  /** Nodes that say or change where elements lie; undefined for another node. */
  #shaping(node: GraphNode): Term | undefined {
    const attributes = node.attributes ?? {};
    switch (node.op) {
      case 'Constant':
        return this.#valueOf(node, attributes);
      case 'Shape': {
        const { shape } = this.#input(node, 0);
        return vector('int', shape.slice(Number(attributes.start ?? 0), Number(attributes.end ?? shape.length)));
      }
      case 'Size':
        return scalar('int', sizeOf(this.#input(node, 0).shape));
      case 'Range': {
        const [start, limit, delta] = [0, 1, 2].map((index) => this.#known(node, index).data[0]!) as [
          number,
          number,
          number,
        ];
        const count = Math.max(0, Math.ceil((limit - start) / delta));
        if (!(count <= MOST_ELEMENTS)) this.#refuse(node, `would make ${count} elements`);
        const { type } = this.#input(node, 0);
        return vector(
          type,
          Array.from({ length: count }, (_, i) => start + i * delta),
        );
      }
      case 'Gather':
        return this.#gather(node, Number(attributes.axis ?? 0));
      case 'Reshape': {
        const { shape } = this.#input(node, 0);
        const given = this.#integers(node, 1).map((n, axis) => (n === 0 && !attributes.allowzero ? shape[axis]! : n));
        const known = given.reduce((product, n) => (n === -1 ? product : product * n), 1);
        return this.#reshaped(
          node,
          given.map((n) => (n === -1 ? sizeOf(shape) / known : n)),
        );
      }
      case 'Unsqueeze': {
        const shape = [...this.#input(node, 0).shape];
        const axes = this.#axes(node, 1) ?? [];
        const rank = shape.length + axes.length;
        for (const axis of axes.map((at) => (at < 0 ? at + rank : at)).sort((p, q) => p - q)) shape.splice(axis, 0, 1);
        return this.#reshaped(node, shape);
      }
      case 'Squeeze': {
        const { shape } = this.#input(node, 0);
        const axes = this.#axes(node, 1)?.map((at) => (at < 0 ? at + shape.length : at));
        return this.#reshaped(
          node,
          shape.filter((n, axis) => (axes ? !axes.includes(axis) : n !== 1)),
        );
      }
      case 'Transpose': {
        const { shape } = this.#input(node, 0);
        const order = (attributes.perm as number[] | undefined) ?? shape.map((_, axis) => shape.length - 1 - axis);
        return permuted(this.#known(node, 0), order);
      }
      case 'Expand': {
        const term = this.#input(node, 0);
        const shape = broadcastShape(term.shape, this.#integers(node, 1));
        if (!shape) this.#refuse(node, `cannot expand [${term.shape}] to [${this.#integers(node, 1)}]`);
        return shape.join() === term.shape.join() ? term : expanded(term, shape);
      }
      case 'ConstantOfShape': {
        const value = attributes.value ? this.#constant(attributes.value as GraphTensor) : scalar('float', 0);
        return expanded(scalar(value.type, value.data[0]!), this.#integers(node, 0));
      }
      case 'Concat':
        return this.#concatenated(node, Number(attributes.axis));
      case 'Slice':
        return this.#sliced(node);
      default:
        return undefined;
    }
  }

  #valueOf(node: GraphNode, attributes: Readonly<Record<string, unknown>>): Term {
    const { value, value_int, value_ints, value_float, value_floats } = attributes;
    if (value !== undefined) return this.#constant(value as GraphTensor);
    if (value_int !== undefined) return scalar('int', Number(value_int));
    if (value_float !== undefined) return scalar('float', Number(value_float));
    if (value_ints !== undefined) return vector('int', value_ints as number[]);
    if (value_floats !== undefined) return vector('float', value_floats as number[]);
    return this.#refuse(node, 'has none of value, value_int, value_ints, value_float and value_floats');
  }

  #reshaped(node: GraphNode, shape: readonly number[]): Term {
    const term = this.#input(node, 0);
    if (sizeOf(shape) !== sizeOf(term.shape) || shape.some((n) => !Number.isInteger(n) || n < 0)) {
      this.#refuse(node, `cannot reshape [${term.shape}] to [${shape}]`);
    }
    if (withoutLead(shape).join() === withoutLead(term.shape).join()) return { ...term, shape };
    return { ...this.#known(node, 0), shape };
  }

  #gather(node: GraphNode, given: number): Term {
    const [from, at] = [this.#known(node, 0), this.#known(node, 1)];
    const axis = given < 0 ? given + from.shape.length : given;
    const length = from.shape[axis] ?? this.#refuse(node, `has axis ${given} for a tensor of shape [${from.shape}]`);
    const inner = sizeOf(from.shape.slice(axis + 1));
    const shape = [...from.shape.slice(0, axis), ...at.shape, ...from.shape.slice(axis + 1)];
    if (sizeOf(shape) > MOST_ELEMENTS) this.#refuse(node, `would make ${sizeOf(shape)} elements`);
    const data = new Float64Array(sizeOf(shape));
    const places = at.data.map((i) => (i < 0 ? i + length : i));
    const wrong = places.findIndex((i) => !(i >= 0 && i < length));
    if (wrong >= 0) this.#refuse(node, `gathers element ${at.data[wrong]} of an axis of ${length}`);
    for (let n = 0; n < data.length; ++n) {
      const block = Math.floor(n / (inner * places.length));
      const place = places[Math.floor(n / inner) % places.length]!;
      data[n] = from.data[(block * length + place) * inner + (n % inner)]!;
    }
    return { kind: 'constant', type: from.type, shape, data };
  }

  #concatenated(node: GraphNode, given: number): Term {
    const parts = node.inputs.map((_, index) => this.#known(node, index));
    const first = parts[0]!;
    const axis = given < 0 ? given + first.shape.length : given;
    const others = (shape: readonly number[]) => shape.filter((_, at) => at !== axis).join();
    if (!(axis >= 0 && axis < first.shape.length) || parts.some(({ shape }) => others(shape) !== others(first.shape))) {
      this.#refuse(node, `cannot join [${parts.map(({ shape }) => `[${shape}]`).join(', ')}] along axis ${given}`);
    }
    const outer = sizeOf(first.shape.slice(0, axis));
    const chunks = parts.map(({ shape }) => sizeOf(shape.slice(axis)));
    const data = new Float64Array(outer * chunks.reduce((sum, n) => sum + n, 0));
    let to = 0;
    for (let row = 0; row < outer; ++row) {
      for (const [i, part] of parts.entries()) {
        data.set(part.data.subarray(row * chunks[i]!, (row + 1) * chunks[i]!), to);
        to += chunks[i]!;
      }
    }
    const shape = first.shape.map((n, at) =>
      at === axis ? parts.reduce((sum, part) => sum + part.shape[axis]!, 0) : n,
    );
    return { kind: 'constant', type: first.type, shape, data };
  }

  #sliced(node: GraphNode): Term {
    const from = this.#known(node, 0);
    const [starts, ends] = [this.#integers(node, 1), this.#integers(node, 2)];
    const axes = this.#optional(node, 3) ? this.#integers(node, 3) : starts.map((_, axis) => axis);
    const steps = this.#optional(node, 4) ? this.#integers(node, 4) : starts.map(() => 1);
    const places = from.shape.map((n) => Array.from({ length: n }, (_, i) => i));
    for (const [i, given] of axes.entries()) {
      const axis = given < 0 ? given + from.shape.length : given;
      const length = from.shape[axis] ?? this.#refuse(node, `has axis ${given} for a tensor of shape [${from.shape}]`);
      const step = steps[i]!;
      if (step === 0) this.#refuse(node, 'has a step of 0');
      const inside = (at: number) => (at < 0 ? at + length : at);
      const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
      const begin = Math.min(Math.max(inside(starts[i]!), Math.max(low, 0)), high);
      const end = Math.min(Math.max(inside(ends[i]!), low), high);
      const picked: number[] = [];
      for (let at = begin; step > 0 ? at < end : at > end; at += step) picked.push(at);
      places[axis] = picked;
    }
    const shape = places.map((picked) => picked.length);
    const data = new Float64Array(sizeOf(shape));
    for (let n = 0; n < data.length; ++n) {
      let at = 0;
      let rest = n;
      let step = 1;
      for (let axis = shape.length - 1; axis >= 0; --axis) {
        at += places[axis]![rest % shape[axis]!]! * step;
        rest = Math.floor(rest / shape[axis]!);
        step *= from.shape[axis]!;
      }
      data[n] = from.data[at]!;
    }
    return { kind: 'constant', type: from.type, shape, data };
  }
}

function elementType(dtype: string): ElementType | undefined {
  if (/^(float|double|bfloat)/.test(dtype)) return 'float';
  if (/^u?int/.test(dtype)) return 'int';
  return dtype === 'bool' ? 'bool' : undefined;
}

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

export function scalar(type: ElementType, value: number): Constant {
  return { kind: 'constant', type, shape: [], data: Float64Array.of(value) };
}

function vector(type: ElementType, values: readonly number[]): Constant {
  return { kind: 'constant', type, shape: [values.length], data: Float64Array.from(values) };
}

function withoutLead(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((n) => n !== 1);
  return first < 0 ? [] : shape.slice(first);
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
function inFull(term: Term): Constant {
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

function permuted({ type, shape, data }: Constant, order: readonly number[]): Constant {
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
function expanded(term: Term, shape: readonly number[]): Term {
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

/** Makes the term of a node, or says why not. */
type Build = (operands: readonly Term[], attributes: Readonly<Record<string, unknown>>) => Term | string;

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
const ELEMENTWISE: Readonly<Record<string, Build>> = {
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

const SHAPING = [
  'Concat',
  'Constant',
  'ConstantOfShape',
  'Expand',
  'Gather',
  'Range',
  'Reshape',
  'Shape',
  'Size',
  'Slice',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
];
