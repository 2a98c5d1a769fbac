import protobuf from 'protobufjs';

/**
 * The fields of onnx.proto that a one-node model needs, with onnx.proto's field numbers
 * (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
 */
const schema = protobuf
  .parse(
    `
syntax = "proto3";
package onnx;
message AttributeProto { string name = 1; float f = 2; int64 i = 3; bytes s = 4; int32 type = 20; }
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

type OnnxAttribute = number | string | { float: number };

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
  return { name, type: FLOAT_ATTRIBUTE, f: value.float };
};

/** Serialises a model of one node: what `InferenceSession.create` takes. */
export function onnxModel({ op, domain = '', opset, attributes = {}, inputs, outputs }: OnnxNode): Uint8Array {
  const given = Object.entries(inputs).filter((input): input is [string, readonly number[]] => input[1] !== null);
  const message = {
    ir_version: 10,
    producer_name: 'wattn-bench',
    opset_import: [{ domain, version: opset }],
    graph: {
      name: op,
      node: [
        {
          op_type: op,
          domain,
          input: Object.entries(inputs).map(([name, shape]) => (shape ? name : '')),
          output: Object.keys(outputs),
          attribute: Object.entries(attributes).map(attribute),
        },
      ],
      input: given.map(valueInfo),
      output: Object.entries(outputs).map(valueInfo),
    },
  };
  const problem = schema.verify(message);
  if (problem) throw new TypeError(`ONNX model of ${op}: ${problem}`);
  return schema.encode(schema.create(message)).finish();
}
