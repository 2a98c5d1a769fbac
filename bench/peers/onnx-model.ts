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
message AttributeProto { string name = 1; float f = 2; int64 i = 3; int32 type = 20; }
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

/** One ONNX node with its attributes and the f32 tensors around it. */
export interface OnnxNode {
  op: string;
  opset: number;
  /** integers become INT attributes, values wrapped as { float } become FLOAT attributes */
  attributes?: Record<string, number | { float: number }>;
  inputs: Record<string, readonly number[]>;
  outputs: Record<string, readonly number[]>;
}

const valueInfo = ([name, shape]: [string, readonly number[]]) => ({
  name,
  type: { tensor_type: { elem_type: FLOAT_TENSOR, shape: { dim: shape.map((dim_value) => ({ dim_value })) } } },
});

/** Serialises a model of one node: what `InferenceSession.create` takes. */
export function onnxModel({ op, opset, attributes = {}, inputs, outputs }: OnnxNode): Uint8Array {
  const message = {
    ir_version: 10,
    producer_name: 'wattn-bench',
    opset_import: [{ domain: '', version: opset }],
    graph: {
      name: op,
      node: [
        {
          op_type: op,
          input: Object.keys(inputs),
          output: Object.keys(outputs),
          attribute: Object.entries(attributes).map(([name, value]) =>
            typeof value === 'number'
              ? { name, type: INT_ATTRIBUTE, i: value }
              : { name, type: FLOAT_ATTRIBUTE, f: value.float },
          ),
        },
      ],
      input: Object.entries(inputs).map(valueInfo),
      output: Object.entries(outputs).map(valueInfo),
    },
  };
  const problem = schema.verify(message);
  if (problem) throw new TypeError(`ONNX model of ${op}: ${problem}`);
  return schema.encode(schema.create(message)).finish();
}
