import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  readSafetensors,
  SafetensorsError,
  type SafetensorsTensor,
  tensorValues,
  writeSafetensors,
} from '../src/safetensors.ts';

/** A file with this header and data, written by hand. */
function file(header: unknown, data: Uint8Array | number = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const payload = typeof data === 'number' ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + json.length + payload.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(payload, 8 + json.length);
  return bytes;
}

const one = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };

test('every dtype, empty tensors, scalars and metadata survive writing and reading', () => {
  const tensors = new Map<string, SafetensorsTensor>([
    ['f32', { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, -0, Number.POSITIVE_INFINITY, 1e-45) }],
    ['f64', { dtype: 'F64', shape: [1], data: Float64Array.of(Math.PI) }],
    ['f16', { dtype: 'F16', shape: [3], data: Uint16Array.of(0x3c00, 0x0001, 0xfc00) }],
    ['bf16', { dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc0a0) }],
    ['i64', { dtype: 'I64', shape: [2], data: BigInt64Array.of(-1n, 2n ** 40n) }],
    ['i32', { dtype: 'I32', shape: [1, 1], data: Int32Array.of(-7) }],
    ['u8', { dtype: 'U8', shape: [3], data: Uint8Array.of(0, 128, 255) }],
    ['i8', { dtype: 'I8', shape: [2], data: Int8Array.of(-128, 127) }],
    ['bool', { dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) }],
    ['empty', { dtype: 'F32', shape: [0, 4], data: new Float32Array(0) }],
    ['scalar', { dtype: 'F32', shape: [], data: Float32Array.of(3) }],
    ['__proto__', { dtype: 'I32', shape: [1], data: Int32Array.of(1) }],
  ]);
  const metadata = new Map([
    ['op', 'attention'],
    ['attrs', '{"Ω": 1}'],
  ]);
  const read = readSafetensors(writeSafetensors({ tensors, metadata }));
  assert.deepEqual(new Map([...read.tensors].sort()), new Map([...tensors].sort()));
  assert.deepEqual(read.metadata, metadata);
  const values = (name: string) => [...tensorValues(read.tensors.get(name) ?? assert.fail(name))];
  assert.deepEqual(values('f16'), [1, 2 ** -24, Number.NEGATIVE_INFINITY]);
  assert.deepEqual(values('bf16'), [1, -5]);
  assert.deepEqual(values('i64'), [-1, 2 ** 40]);
});

test('writing aligns every tensor, so that a reader may map it', () => {
  const bytes = writeSafetensors({
    tensors: new Map<string, SafetensorsTensor>([
      ['flag', { dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) }],
      ['x', { dtype: 'F64', shape: [1], data: Float64Array.of(1) }],
    ]),
  });
  const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  assert.equal((8 + headerLength) % 8, 0);
  assert.deepEqual(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength))).x.data_offsets, [0, 8]);
});

test('reading copies, from any offset of any buffer', () => {
  const bytes = file({ x: one }, new Uint8Array(Float32Array.of(1, 2).buffer));
  const shifted = Buffer.alloc(bytes.length + 3);
  shifted.set(bytes, 3);
  const { tensors } = readSafetensors(shifted.subarray(3));
  shifted.fill(0xff);
  assert.deepEqual([...(tensors.get('x')?.data ?? [])], [1, 2]);
});

const malformed: [string, Uint8Array, RegExp][] = [
  ['no bytes', new Uint8Array(0), /0 bytes/],
  ['seven bytes', new Uint8Array(7), /7 bytes/],
  ['an absurd header length', new Uint8Array(8).fill(0xff), /not a safetensors file/],
  ['a header beyond the end', file({ x: one }, 8).subarray(0, 20), /truncated/],
  ['a header that is not JSON', file('{"x":'), /not UTF-8 JSON/],
  ['a header that is not UTF-8', file('{"x"').fill(0xc3, 8), /not UTF-8 JSON/],
  ['a header that is a list', file([]), /not a JSON object/],
  ['metadata that is not text', file({ __metadata__: { n: 1 } }), /'n' is not a string/],
  ['metadata that is a list', file({ __metadata__: [] }), /not a JSON object/],
  ['an entry that is null', file({ x: null }), /'x'.*not a JSON object/],
  ['an unknown dtype', file({ x: { ...one, dtype: 'F8_E4M3' } }, 8), /'x'.*F8_E4M3.*F32/],
  ['a dtype from the prototype', file({ x: { ...one, dtype: 'constructor' } }, 8), /unsupported dtype/],
  ['a negative size', file({ x: { ...one, shape: [-2] } }, 8), /'x'.*\[-2\]/],
  ['a fractional size', file({ x: { ...one, shape: [0.5] } }, 8), /non-negative integers/],
  ['sizes that overflow', file({ x: { ...one, shape: [2 ** 40, 2 ** 40] } }, 8), /too many elements/],
  ['offsets the wrong way round', file({ x: { ...one, data_offsets: [8, 0] } }, 8), /begin <= end/],
  ['offsets that disagree with the shape', file({ x: { ...one, shape: [3] } }, 8), /span 8 bytes.*needs 12/],
  ['missing data', file({ x: one }, 7), /truncated/],
  ['data that belongs to no tensor', file({ x: one }, 9), /1 bytes behind/],
  ['a hole', file({ x: one, y: { ...one, data_offsets: [9, 17] } }, 17), /'y'.*hole/],
  ['an overlap', file({ x: one, y: { ...one, data_offsets: [4, 12] } }, 12), /'y'.*inside/],
];

for (const [what, bytes, message] of malformed) {
  test(`reading ${what} throws SafetensorsError`, () => {
    assert.throws(
      () => readSafetensors(bytes),
      (error) => error instanceof SafetensorsError && error.name === 'SafetensorsError' && message.test(error.message),
    );
  });
}

test('writing data that does not fit throws SafetensorsError', () => {
  const write = (name: string, tensor: SafetensorsTensor) => () =>
    writeSafetensors({ tensors: new Map([[name, tensor]]) });
  const data = Float32Array.of(1);
  assert.throws(write('x', { dtype: 'F32', shape: [2], data }), /'x': 1 elements, shape \[2\] needs 2/);
  assert.throws(write('x', { dtype: 'I32', shape: [1], data }), /I32 needs Int32Array data, got Float32Array/);
  assert.throws(write('__metadata__', { dtype: 'F32', shape: [1], data }), /cannot be called/);
});

test('damaged files either read or throw SafetensorsError, nothing else', () => {
  const sound = writeSafetensors({
    tensors: new Map<string, SafetensorsTensor>([['x', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]]),
    metadata: new Map([['op', 'rope']]),
  });
  fc.assert(
    fc.property(fc.nat(sound.length - 1), fc.nat(255), fc.nat(sound.length), (where, byte, length) => {
      const damaged = sound.slice(0, length);
      if (where < length) damaged[where] = byte;
      try {
        readSafetensors(damaged);
      } catch (error) {
        assert.ok(error instanceof SafetensorsError, String(error));
      }
    }),
    { seed: 1, numRuns: 2000 },
  );
});
