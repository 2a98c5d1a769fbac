/**
 * The memory of a GPU runtime: a storage buffer, or a few of them, that every kernel sees whole, so that addresses are numbers as on
 * WebAssembly.
 *
 * @module
 */
import { MemoryLimitError } from '../errors.ts';
import type { Store } from '../runtime/allocator.ts';
import type { HostBytes } from '../runtime/runtime.ts';
import type { Banks } from './banks-text.ts';

/** Bytes that have gone over, and how often. */
export interface Transfers {
  readonly uploads: number;
  readonly uploadedBytes: number;
  readonly readbacks: number;
  readonly readBytes: number;
}

const FIRST_BYTES = 2 ** 22;
const UNIT = 2 ** 16;
/** From here on growing takes a quarter more, not as much again: old and new lie side by side while one is copied. */
const LARGE = 2 ** 28;

/** Buffers for readbacks that stay: how many, and the bytes of each. */
const MOST_IDLE = 8;
const MOST_KEPT = 2 ** 26;

const roundUp = (x: number, to: number) => Math.ceil(x / to) * to;

/** Most buffers that shaders are told of: all of them can be at once wherever there is WebGPU. */
const MOST_BANKS = 8;
/** Least size of a binding. */
const LEAST = 16;

/** What the device lets a kernel see. */
export interface Reach {
  /** Bytes of one buffer. */
  readonly bindingBytes: number;
  /** Buffers at once. */
  readonly bindings: number;
}

/** Bytes of one bank, from an address in it on. */
interface Segment {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * One buffer that grows by being copied into a larger one; and, where that is more than a kernel may see of a buffer, several of a size
 * that is a power of two.
 */
export class GpuMemory implements Store {
  readonly #failed: (reason: string) => void;
  readonly #asked: number;
  #device: GPUDevice;
  /** Most bytes of a single buffer, and of each if there are several. */
  #single = 0;
  #bankBytes = 0;
  #limit = 0;
  #banks: GPUBuffer[];
  /** What stands for banks that are not there yet. */
  #empty: GPUBuffer[] = [];
  #changes = 0;
  /** Buffers that readbacks go through and that no readback uses now. */
  readonly #idle: GPUBuffer[] = [];
  /** Those that are alive. */
  readonly #live = new Set<GPUBuffer>();
  #transfers: Transfers = { uploads: 0, uploadedBytes: 0, readbacks: 0, readBytes: 0 };

  /**
   * @param limit most bytes that the memory may grow to.
   * @param failed is told, a moment later, that the device had no room for what the memory grew to.
   */
  constructor(device: object, reach: Reach, limit: number, failed: (reason: string) => void) {
    this.#device = device as GPUDevice;
    this.#failed = failed;
    this.#asked = limit;
    this.#measure(reach);
    this.#banks = [this.#create(Math.min(this.#limit, this.#single, FIRST_BYTES))];
  }

  /**
   * The same addresses on another device, in place of one that was lost; their contents are arbitrary.
   *
   * @throws MemoryLimitError if it holds less than is handed out.
   */
  reopen(device: object, reach: Reach): void {
    const size = this.byteLength;
    this.#measure(reach);
    if (size > this.#limit) {
      throw new MemoryLimitError(
        `the new device holds at most ${this.#limit} bytes, and ${size} are in use: dispose the runtime and create another`,
      );
    }
    this.#device = device as GPUDevice;
    this.#empty = [];
    this.#banks = size <= this.#single ? [this.#create(size)] : this.#several(size);
    this.#changes += 1;
  }

  get limit(): number {
    return this.#limit;
  }

  get byteLength(): number {
    return this.#banks.reduce((sum, { size }) => sum + size, 0);
  }

  /** How shaders see the memory. The count takes few values, as every one of them has pipelines of its own. */
  get banks(): Banks {
    const { length } = this.#banks;
    return { count: length === 1 ? 1 : 2 ** Math.ceil(Math.log2(length)), bytes: this.#bankBytes };
  }

  /** The GPUBuffers to bind: as many as shaders are told of. */
  get bound(): readonly object[] {
    const { count } = this.banks;
    while (this.#banks.length + this.#empty.length < count) this.#empty.push(this.#create(LEAST));
    return [...this.#banks, ...this.#empty].slice(0, count);
  }

  /** Counts the times that other buffers came to be bound. */
  get changes(): number {
    return this.#changes;
  }

  /** Buffers that are alive, those for readbacks counted. */
  get buffers(): number {
    return this.#live.size;
  }

  get transfers(): Transfers {
    return this.#transfers;
  }

  grow(bytes: number): boolean {
    const before = this.#banks;
    const have = this.byteLength;
    if (bytes <= this.#single && before.length === 1) {
      const more = have < LARGE ? have * 2 : Math.ceil(have * 1.25);
      const most = Math.min(this.#limit, this.#single);
      this.#banks = [this.#create(Math.min(most, roundUp(Math.max(bytes, more), UNIT)))];
      this.#copy([{ buffer: before[0]!, offset: 0, bytes: have }], this.#segments(0, have));
    } else if (before.length === 1 && have !== this.#bankBytes) {
      this.#banks = this.#several(bytes);
      this.#copy([{ buffer: before[0]!, offset: 0, bytes: have }], this.#segments(0, have));
    } else {
      this.#banks = this.#several(bytes, before);
    }
    for (const bank of before) if (!this.#banks.includes(bank)) this.#destroy(bank);
    this.#changes += 1;
    return true;
  }

  /** Counts bytes that go over. */
  countUpload(bytes: number): void {
    const { uploads, uploadedBytes } = this.#transfers;
    this.#transfers = { ...this.#transfers, uploads: uploads + 1, uploadedBytes: uploadedBytes + bytes };
  }

  /** Copies bytes to an address that is a multiple of four; up to three bytes behind an odd end become zeros. */
  write(at: number, data: ArrayBufferView): void {
    const { buffer, byteOffset, byteLength } = data;
    const even = byteLength & ~3;
    let done = 0;
    for (const segment of this.#segments(at, even)) {
      const from = byteOffset + done;
      this.#device.queue.writeBuffer(segment.buffer, segment.offset, buffer as ArrayBuffer, from, segment.bytes);
      done += segment.bytes;
    }
    if (even < byteLength) {
      const rest = new Uint8Array(4);
      rest.set(new Uint8Array(buffer, byteOffset + even, byteLength - even));
      const [segment] = this.#segments(at + even, 4);
      this.#device.queue.writeBuffer(segment!.buffer, segment!.offset, rest);
    }
  }

  clear(at: number, bytes: number): void {
    this.#encode((encoder) => {
      for (const { buffer, offset, bytes: size } of this.#segments(at, roundUp(bytes, 4))) {
        encoder.clearBuffer(buffer, offset, size);
      }
    });
  }

  /** Moves bytes over a buffer of its own: a copy inside one buffer is not allowed. */
  move(to: number, from: number, bytes: number): void {
    const size = roundUp(bytes, 4);
    const between = this.#device.createBuffer({ size, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
    const whole = [{ buffer: between, offset: 0, bytes: size }];
    this.#copy(this.#segments(from, size), whole);
    this.#copy(whole, this.#segments(to, size));
    between.destroy();
  }

  /** A copy on the host of the bytes from an address on. */
  async read(at: number, bytes: number): Promise<HostBytes> {
    const begin = at - (at % 4);
    const size = Math.max(4, roundUp(at + bytes - begin, 4));
    const staging = this.#takeStaging(size);
    this.#copy(this.#segments(begin, size), [{ buffer: staging, offset: 0, bytes: size }]);
    try {
      await staging.mapAsync(GPUMapMode.READ, 0, size);
      const copy = staging.getMappedRange(0, size).slice(0);
      staging.unmap();
      const { readbacks, readBytes } = this.#transfers;
      this.#transfers = { ...this.#transfers, readbacks: readbacks + 1, readBytes: readBytes + bytes };
      if (size > MOST_KEPT) this.#destroy(staging);
      else if (this.#live.has(staging)) this.#idle.push(staging);
      return { buffer: copy, at: at - begin };
    } catch (error) {
      this.#destroy(staging);
      throw error;
    }
  }

  destroy(): void {
    for (const buffer of this.#live) this.#destroy(buffer);
    this.#idle.length = 0;
  }

  /** What the memory may grow to on a device, and in which form. */
  #measure({ bindingBytes, bindings }: Reach): void {
    this.#single = Math.floor(bindingBytes / UNIT) * UNIT;
    this.#bankBytes = 2 ** Math.floor(Math.log2(bindingBytes));
    // shaders are told of a power of two
    const most = 2 ** Math.floor(Math.log2(Math.min(MOST_BANKS, bindings)));
    const reach = Math.max(this.#single, most * this.#bankBytes);
    this.#limit = Math.floor(Math.min(this.#asked, reach) / UNIT) * UNIT;
  }

  /** Banks for so many bytes, the first ones those that are there. */
  #several(bytes: number, there: readonly GPUBuffer[] = []): GPUBuffer[] {
    const banks = [...there];
    for (let end = banks.length * this.#bankBytes; end < bytes; end += this.#bankBytes) {
      banks.push(this.#create(Math.min(this.#bankBytes, this.#limit - end)));
    }
    return banks;
  }

  /** Where bytes lie. */
  #segments(at: number, bytes: number): Segment[] {
    if (bytes === 0) return [];
    if (this.#banks.length === 1) return [{ buffer: this.#banks[0]!, offset: at, bytes }];
    const segments: Segment[] = [];
    for (let from = at; from < at + bytes; ) {
      const offset = from % this.#bankBytes;
      const size = Math.min(at + bytes - from, this.#bankBytes - offset);
      segments.push({ buffer: this.#banks[Math.floor(from / this.#bankBytes)]!, offset, bytes: size });
      from += size;
    }
    return segments;
  }

  /** Copies what lies in some segments to others of the same length. */
  #copy(from: readonly Segment[], to: readonly Segment[]): void {
    this.#encode((encoder) => {
      for (let [i, j, a, b] = [0, 0, 0, 0]; i < from.length; ) {
        const [source, target] = [from[i]!, to[j]!];
        const size = Math.min(source.bytes - a, target.bytes - b);
        encoder.copyBufferToBuffer(source.buffer, source.offset + a, target.buffer, target.offset + b, size);
        [a, b] = [a + size, b + size];
        if (a === source.bytes) [i, a] = [i + 1, 0];
        if (b === target.bytes) [j, b] = [j + 1, 0];
      }
    });
  }

  #destroy(buffer: GPUBuffer): void {
    this.#live.delete(buffer);
    buffer.destroy();
  }

  #create(size: number): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#device.pushErrorScope('out-of-memory');
    const buffer = this.#device.createBuffer({ label: 'wattn memory', size, usage });
    this.#live.add(buffer);
    this.#device.popErrorScope().then(
      (error) => {
        if (error) this.#failed(`the GPU has no room for ${size} bytes (${error.message || 'out of memory'})`);
      },
      // a device that is lost says so itself
      () => {},
    );
    return buffer;
  }

  #takeStaging(size: number): GPUBuffer {
    const fits = this.#idle.findIndex((staging) => staging.size >= size && staging.size <= 4 * size + UNIT);
    if (fits >= 0) return this.#idle.splice(fits, 1)[0]!;
    // what no readback wants any more makes room
    if (this.#idle.length >= MOST_IDLE) this.#destroy(this.#idle.shift()!);
    const staging = this.#device.createBuffer({
      label: 'wattn readback',
      size: size > MOST_KEPT ? size : 2 ** Math.ceil(Math.log2(size)),
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    this.#live.add(staging);
    return staging;
  }

  #encode(commands: (encoder: GPUCommandEncoder) => void): void {
    const encoder = this.#device.createCommandEncoder();
    commands(encoder);
    this.#device.queue.submit([encoder.finish()]);
  }
}
