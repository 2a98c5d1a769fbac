/**
 * The subgraphs of FlexAttention: read node by node into a term of the scores, shapes and constants worked out on the way.
 *
 * @module
 */
import { OptionError, ShapeError } from '../errors.ts';
import { sizeOf } from '../tensor.ts';
import { type Build, ELEMENTWISE } from './element-nodes.ts';
import {
  broadcastShape,
  type Constant,
  dependsOnScores,
  type ElementType,
  expanded,
  inFull,
  permuted,
  scalar,
  type Term,
  vector,
} from './term.ts';

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

/** Most elements of a constant that only a node which is not element by element needs in full. */
const MOST_ELEMENTS = 2 ** 22;

/** Reads a graph; its errors say of which attribute it is. */
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

function withoutLead(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((n) => n !== 1);
  return first < 0 ? [] : shape.slice(first);
}

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
