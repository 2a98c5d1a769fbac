import { halfToNumber } from './tensor.ts';

/** A file or a tensor that breaks the safetensors format; the message names the tensor and what was found. */
export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError';
}

/** What one element of each dtype is read into; f16 and bf16 stay as their 16 bits. */
const arrays = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** The dtypes that are read and written. */
export type SafetensorsDType = keyof typeof arrays;

/** Elements of a tensor, in the array type of its dtype. */
export type SafetensorsData = InstanceType<(typeof arrays)[SafetensorsDType]>;

/** One tensor of a file, row-major. */
export interface SafetensorsTensor {
  dtype: SafetensorsDType;
  shape: number[];
  data: SafetensorsData;
}

/** A whole file: its tensors by name, in the file's order, and its `__metadata__`. */
export interface SafetensorsFile {
  tensors: Map<string, SafetensorsTensor>;
  metadata: Map<string, string>;
}

// A header beyond this is a wrong file rather than a large one; it is the limit of the format's own library.
const maxHeaderBytes = 100_000_000;

const metadataKey = '__metadata__';

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isDType(value: unknown): value is SafetensorsDType {
  return typeof value === 'string' && Object.hasOwn(arrays, value);
}

function elementCount(name: string, shape: number[]): number {
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count))
    throw new SafetensorsError(`tensor '${name}': shape [${shape}] has too many elements`);
  return count;
}

// The format is little-endian; on a big-endian host each element's bytes are reversed.
const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function reverseElements(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

function parseHeader(bytes: Uint8Array): { header: Record<string, unknown>; dataStart: number } {
  if (bytes.length < 8)
    throw new SafetensorsError(`not a safetensors file: ${bytes.length} bytes, at least 8 expected`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > maxHeaderBytes)
    throw new SafetensorsError(`not a safetensors file: header of ${length} bytes, at most ${maxHeaderBytes} expected`);
  const dataStart = 8 + length;
  if (dataStart > bytes.length)
    throw new SafetensorsError(`truncated file: header of ${length} bytes, only ${bytes.length - 8} left`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart)));
  } catch (cause) {
    throw new SafetensorsError('the header is not UTF-8 JSON', { cause });
  }
  if (!isObject(header)) throw new SafetensorsError('the header is not a JSON object');
  return { header, dataStart };
}

function parseMetadata(value: unknown): Map<string, string> {
  if (value === undefined) return new Map();
  if (!isObject(value)) throw new SafetensorsError(`${metadataKey} is not a JSON object`);
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw new SafetensorsError(`${metadataKey}: '${key}' is not a string`);
    metadata.set(key, text);
  }
  return metadata;
}

interface Entry {
  name: string;
  dtype: SafetensorsDType;
  shape: number[];
  begin: number;
  end: number;
}

function parseEntry(name: string, value: unknown): Entry {
  if (!isObject(value)) throw new SafetensorsError(`tensor '${name}': its header entry is not a JSON object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDType(dtype)) {
    throw new SafetensorsError(
      `tensor '${name}': unsupported dtype ${JSON.stringify(dtype)}, expected one of ${Object.keys(arrays).join(', ')}`,
    );
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw new SafetensorsError(
      `tensor '${name}': shape ${JSON.stringify(shape)} is not a list of non-negative integers`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) || offsets[0]! > offsets[1]!) {
    throw new SafetensorsError(
      `tensor '${name}': data_offsets ${JSON.stringify(offsets)} is not [begin, end] with begin <= end`,
    );
  }
  const [begin, end] = offsets as [number, number];
  const expected = elementCount(name, shape) * arrays[dtype].BYTES_PER_ELEMENT;
  if (end - begin !== expected) {
    throw new SafetensorsError(
      `tensor '${name}': data_offsets span ${end - begin} bytes, ${dtype} of shape [${shape}] needs ${expected}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

// The format allows neither overlaps nor holes, so that a file has one reading.
function checkCoverage(entries: readonly Entry[], dataBytes: number): void {
  let covered = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      throw new SafetensorsError(
        `tensor '${name}': data begins at ${begin}, ${begin < covered ? 'inside' : 'after a hole behind'} data that ends at ${covered}`,
      );
    }
    covered = end;
  }
  if (covered > dataBytes)
    throw new SafetensorsError(`truncated file: tensors need ${covered} bytes of data, the file has ${dataBytes}`);
  if (covered < dataBytes)
    throw new SafetensorsError(`${dataBytes - covered} bytes behind the last tensor belong to none`);
}

/**
 * Reads a safetensors file: every tensor is copied out, so the bytes may be reused afterwards.
 * Throws SafetensorsError on anything malformed: a short file, a header that is not JSON, an unknown dtype,
 * sizes that disagree with shapes, overlapping or uncovered data.
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  const { header, dataStart } = parseHeader(bytes);
  const metadata = parseMetadata(Object.hasOwn(header, metadataKey) ? header[metadataKey] : undefined);
  const entries = Object.entries(header)
    .filter(([name]) => name !== metadataKey)
    .map(([name, value]) => parseEntry(name, value));
  checkCoverage(entries, bytes.length - dataStart);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    // Not slice(): a Node Buffer's would alias the file's bytes.
    const copy = new Uint8Array(bytes.subarray(dataStart + begin, dataStart + end));
    if (!littleEndian) reverseElements(copy, arrays[dtype].BYTES_PER_ELEMENT);
    tensors.set(name, { dtype, shape, data: new arrays[dtype](copy.buffer) });
  }
  return { tensors, metadata };
}

function checkTensor(name: string, { dtype, shape, data }: SafetensorsTensor): void {
  if (name === metadataKey) throw new SafetensorsError(`a tensor cannot be called ${metadataKey}`);
  if (!isDType(dtype))
    throw new SafetensorsError(
      `tensor '${name}': unsupported dtype ${JSON.stringify(dtype)}, expected one of ${Object.keys(arrays).join(', ')}`,
    );
  if (!shape.every(isSize))
    throw new SafetensorsError(`tensor '${name}': shape [${shape}] is not a list of non-negative integers`);
  if (!(data instanceof arrays[dtype]))
    throw new SafetensorsError(
      `tensor '${name}': ${dtype} needs ${arrays[dtype].name} data, got ${data.constructor.name}`,
    );
  const expected = elementCount(name, shape);
  if (data.length !== expected)
    throw new SafetensorsError(`tensor '${name}': ${data.length} elements, shape [${shape}] needs ${expected}`);
}

/**
 * Writes a safetensors file: widest dtypes first and a padded header, so that every tensor is aligned to its element.
 * Throws SafetensorsError when a tensor's data does not fit its dtype or shape.
 */
export function writeSafetensors({
  tensors,
  metadata,
}: {
  tensors: ReadonlyMap<string, SafetensorsTensor>;
  metadata?: ReadonlyMap<string, string>;
}): Uint8Array {
  const ordered = [...tensors].sort(([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  const header: [string, unknown][] = metadata?.size ? [[metadataKey, Object.fromEntries(metadata)]] : [];
  let end = 0;
  for (const [name, tensor] of ordered) {
    checkTensor(name, tensor);
    const begin = end;
    end += tensor.data.byteLength;
    header.push([name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] }]);
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const dataStart = 8 + Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(dataStart + end).fill(0x20, 8, dataStart);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(dataStart - 8), true);
  bytes.set(json, 8);
  let at = dataStart;
  for (const [, { data }] of ordered) {
    const target = bytes.subarray(at, at + data.byteLength);
    target.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    if (!littleEndian) reverseElements(target, data.BYTES_PER_ELEMENT);
    at += data.byteLength;
  }
  return bytes;
}

/** The tensor's values as a new Float64Array, exact for every dtype but integers beyond 2^53. */
export function tensorValues({ dtype, data }: SafetensorsTensor): Float64Array {
  if (data instanceof BigInt64Array) return Float64Array.from(data, Number);
  if (dtype === 'F16') return Float64Array.from(data, halfToNumber);
  if (dtype === 'BF16') return Float64Array.from(new Float32Array(Uint32Array.from(data, (bits) => bits << 16).buffer));
  return Float64Array.from(data);
}
