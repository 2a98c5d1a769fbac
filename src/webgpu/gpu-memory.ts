/**
 * The memory of a GPU runtime: one storage buffer that every kernel sees whole, so that addresses are numbers as on WebAssembly.
 *
 * @module
 */
import { MemoryLimitError } from '../errors.ts';
import type { Store } from '../runtime/allocator.ts';
import type { HostBytes } from '../runtime/runtime.ts';

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

/** A buffer that grows by being copied into a larger one. */
export class GpuMemory implements Store {
  #device: GPUDevice;
  readonly #failed: (reason: string) => void;
  #limit: number;
  #buffer: GPUBuffer;
  /** Buffers that readbacks go through and that no readback uses now. */
  readonly #idle: GPUBuffer[] = [];
  /** Those that are alive. */
  readonly #live = new Set<GPUBuffer>();
  #transfers: Transfers = { uploads: 0, uploadedBytes: 0, readbacks: 0, readBytes: 0 };

  /**
   * @param limit most bytes that the memory may grow to.
   * @param failed is told, a moment later, that the device had no room for what the memory grew to.
   */
  constructor(device: object, limit: number, failed: (reason: string) => void) {
    this.#device = device as GPUDevice;
    this.#failed = failed;
    this.#limit = Math.floor(limit / UNIT) * UNIT;
    this.#buffer = this.#create(Math.min(this.#limit, FIRST_BYTES));
  }

  /**
   * The same addresses on another device, in place of one that was lost; their contents are arbitrary.
   *
   * @throws MemoryLimitError if it holds less than is handed out.
   */
  reopen(device: object, limit: number): void {
    const size = this.byteLength;
    if (size > limit) {
      throw new MemoryLimitError(
        `the new device holds at most ${limit} bytes, and ${size} are in use: dispose the runtime and create another`,
      );
    }
    this.#device = device as GPUDevice;
    this.#limit = Math.floor(limit / UNIT) * UNIT;
    this.#buffer = this.#create(size);
  }

  get limit(): number {
    return this.#limit;
  }

  /** The GPUBuffer that all memory is. */
  get buffer(): object {
    return this.#buffer;
  }

  get byteLength(): number {
    return this.#buffer.size;
  }

  /** Buffers that are alive, those for readbacks counted. */
  get buffers(): number {
    return this.#live.size;
  }

  get transfers(): Transfers {
    return this.#transfers;
  }

  grow(bytes: number): boolean {
    const have = this.byteLength;
    const more = have < LARGE ? have * 2 : Math.ceil(have * 1.25);
    const larger = this.#create(Math.min(this.limit, roundUp(Math.max(bytes, more), UNIT)));
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#buffer, 0, larger, 0, have);
    this.#device.queue.submit([encoder.finish()]);
    this.#destroy(this.#buffer);
    this.#buffer = larger;
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
    if (even > 0) this.#device.queue.writeBuffer(this.#buffer, at, buffer as ArrayBuffer, byteOffset, even);
    if (even < byteLength) {
      const rest = new Uint8Array(4);
      rest.set(new Uint8Array(buffer, byteOffset + even, byteLength - even));
      this.#device.queue.writeBuffer(this.#buffer, at + even, rest);
    }
  }

  clear(at: number, bytes: number): void {
    this.#encode((encoder) => encoder.clearBuffer(this.#buffer, at, roundUp(bytes, 4)));
  }

  /** Moves bytes over a buffer of its own: a copy inside one buffer is not allowed. */
  move(to: number, from: number, bytes: number): void {
    const size = roundUp(bytes, 4);
    const between = this.#device.createBuffer({ size, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
    this.#encode((encoder) => {
      encoder.copyBufferToBuffer(this.#buffer, from, between, 0, size);
      encoder.copyBufferToBuffer(between, 0, this.#buffer, to, size);
    });
    between.destroy();
  }

  /** A copy on the host of the bytes from an address on. */
  async read(at: number, bytes: number): Promise<HostBytes> {
    const begin = at & ~3;
    const size = Math.max(4, roundUp(at + bytes - begin, 4));
    const staging = this.#takeStaging(size);
    this.#encode((encoder) => encoder.copyBufferToBuffer(this.#buffer, begin, staging, 0, size));
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
