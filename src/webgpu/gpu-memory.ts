/**
 * The memory of a GPU runtime: one storage buffer that every kernel sees whole, so that addresses are numbers as on WebAssembly.
 *
 * @module
 */
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

const roundUp = (x: number, to: number) => Math.ceil(x / to) * to;

/** A buffer that grows by being copied into a larger one. */
export class GpuMemory implements Store {
  readonly limit: number;
  readonly #device: GPUDevice;
  #buffer: GPUBuffer;
  /** Buffers that readbacks go through, by their size. */
  readonly #idle: GPUBuffer[] = [];
  #transfers = { uploads: 0, uploadedBytes: 0, readbacks: 0, readBytes: 0 };
  #live = 1;

  /** @param limit most bytes that the memory may grow to. */
  constructor(device: GPUDevice, limit: number) {
    this.#device = device;
    this.limit = Math.floor(limit / UNIT) * UNIT;
    this.#buffer = this.#create(Math.min(this.limit, FIRST_BYTES));
  }

  get buffer(): GPUBuffer {
    return this.#buffer;
  }

  get byteLength(): number {
    return this.#buffer.size;
  }

  /** Buffers that are alive, those for readbacks counted. */
  get buffers(): number {
    return this.#live;
  }

  get transfers(): Transfers {
    return { ...this.#transfers };
  }

  grow(bytes: number): boolean {
    const have = this.byteLength;
    const more = have < LARGE ? have * 2 : Math.ceil(have * 1.25);
    const larger = this.#create(Math.min(this.limit, roundUp(Math.max(bytes, more), UNIT)));
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#buffer, 0, larger, 0, have);
    this.#device.queue.submit([encoder.finish()]);
    this.#buffer.destroy();
    this.#buffer = larger;
    return true;
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
    this.#transfers.uploads += 1;
    this.#transfers.uploadedBytes += byteLength;
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
      this.#transfers.readbacks += 1;
      this.#transfers.readBytes += size;
      this.#idle.push(staging);
      return { buffer: copy, at: at - begin };
    } catch (error) {
      this.#live -= 1;
      staging.destroy();
      throw error;
    }
  }

  destroy(): void {
    this.#buffer.destroy();
    for (const staging of this.#idle.splice(0)) staging.destroy();
    this.#live = 0;
  }

  #create(size: number): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.#device.createBuffer({ label: 'wattn memory', size, usage });
  }

  #takeStaging(size: number): GPUBuffer {
    const fits = this.#idle.findIndex((staging) => staging.size >= size && staging.size <= 4 * size + UNIT);
    if (fits >= 0) return this.#idle.splice(fits, 1)[0]!;
    // what no readback wants any more makes room
    if (this.#idle.length >= 8) {
      this.#idle.shift()!.destroy();
      this.#live -= 1;
    }
    this.#live += 1;
    return this.#device.createBuffer({
      label: 'wattn readback',
      size: 2 ** Math.ceil(Math.log2(size)),
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  #encode(commands: (encoder: GPUCommandEncoder) => void): void {
    const encoder = this.#device.createCommandEncoder();
    commands(encoder);
    this.#device.queue.submit([encoder.finish()]);
  }
}
