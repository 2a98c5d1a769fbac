import protobuf from 'protobufjs';

/**
 * The fields of onnx.proto that these models need, with onnx.proto's field numbers
 * (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
 */
const schema = protobuf
  .parse(
    `
syntax = "proto3";
package onnx;
message AttributeProto { string name = 1; float f = 2; int64 i = 3; bytes s = 4; repeated int64 ints = 8; int32 type = 20; }
message NodeProto {
  repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4;
  repeated AttributeProto attribute = 5; string domain = 7;
}
message Dimension { int64 dim_value = 1; }
message TensorShapeProto { repeated Dimension dim = 1; }
message TensorTypeProto { int32 elem_type = 1; TensorShapeProto shape = 2; }
message TypeProto { TensorTypeProto tensor_type = 1; }
message ValueInfoProto { string name = 1; TypeProto type = 2; }
message GraphProto {
  repeated NodeProto node = 1; string name = 2;
  repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12;
}
message OperatorSetIdProto { string domain = 1; int64 version = 2; }
message ModelProto { int64 ir_version = 1; string producer_name = 2; GraphProto graph = 7; repeated OperatorSetIdProto opset_import = 8; }
`,
    { keepCase: true },
  )
  .root.lookupType('onnx.ModelProto');

const FLOAT_TENSOR = 1;
const FLOAT_ATTRIBUTE = 1;
const INT_ATTRIBUTE = 2;
const STRING_ATTRIBUTE = 3;
const INTS_ATTRIBUTE = 7;

type OnnxAttribute = number | string | { float: number } | readonly number[];

/** One ONNX node with its attributes and the f32 tensors around it. */
export interface OnnxNode {
  op: string;
  /** ONNX's own by default */
  domain?: string;
  /** version of the domain */
  opset: number;
  /** integers become INT attributes, values wrapped as { float } become FLOAT attributes */
  attributes?: Record<string, OnnxAttribute>;
  /** in the op's order; null for an optional input that is left out */
  inputs: Record<string, readonly number[] | null>;
  outputs: Record<string, readonly number[]>;
}

const valueInfo = ([name, shape]: [string, readonly number[]]) => ({
  name,
  type: { tensor_type: { elem_type: FLOAT_TENSOR, shape: { dim: shape.map((dim_value) => ({ dim_value })) } } },
});

const attribute = ([name, value]: [string, OnnxAttribute]) => {
  if (typeof value === 'number') return { name, type: INT_ATTRIBUTE, i: value };
  if (typeof value === 'string') return { name, type: STRING_ATTRIBUTE, s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: FLOAT_ATTRIBUTE, f: value.float };
  return { name, type: INTS_ATTRIBUTE, ints: value };
};

/** One node of several: its tensors by name, the empty name for an optional input that is left out. */
export interface GraphNode {
  op: string;
  domain?: string;
  attributes?: Record<string, OnnxAttribute>;
  inputs: readonly string[];
  outputs: readonly string[];
}

/** Nodes in order, and the f32 tensors that go in and come out. */
export interface OnnxGraph {
  opset: number;
  /** versions of the domains that are not ONNX's own */
  domains?: Record<string, number>;
  nodes: readonly GraphNode[];
  inputs: Record<string, readonly number[]>;
  outputs: Record<string, readonly number[]>;
}

/** A node as a graph. */
export function graphOf({ op, domain = '', opset, attributes = {}, inputs, outputs }: OnnxNode): OnnxGraph {
  const given = Object.entries(inputs).filter((input): input is [string, readonly number[]] => input[1] !== null);
  const names = Object.entries(inputs).map(([name, shape]) => (shape ? name : ''));
  return {
    opset,
    ...(domain === '' ? {} : { domains: { [domain]: opset } }),
    nodes: [{ op, domain, attributes, inputs: names, outputs: Object.keys(outputs) }],
    inputs: Object.fromEntries(given),
    outputs,
  };
}

/** Serialises a graph: what `InferenceSession.create` takes. */
export function onnxModel({ opset, domains, nodes, inputs, outputs }: OnnxGraph): Uint8Array {
  const versions = domains ?? { '': opset };
  const own = nodes.some(({ domain = '' }) => domain === '');
  const message = {
    ir_version: 10,
    producer_name: 'wattn-bench',
    opset_import: Object.entries(own ? { '': opset, ...versions } : versions).map(([domain, version]) => ({
      domain,
      version,
    })),
    graph: {
      name: nodes[0]!.op,
      node: nodes.map(({ op, domain = '', attributes = {}, inputs, outputs }) => ({
        op_type: op,
        domain,
        input: inputs,
        output: outputs,
        attribute: Object.entries(attributes).map(attribute),
      })),
      input: Object.entries(inputs).map(valueInfo),
      output: Object.entries(outputs).map(valueInfo),
    },
  };
  const problem = schema.verify(message);
  if (problem) throw new TypeError(`ONNX model of ${nodes[0]!.op}: ${problem}`);
  return schema.encode(schema.create(message)).finish();
}
