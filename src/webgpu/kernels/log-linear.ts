/**
 * Log-linear attention: chunks of 64 positions by matrix products, states joined as a binary counter carries.
 *
 * @module
 */
import { LogLinearParams } from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf, type Pass, roundUp } from '../kernel.ts';
import { alignedRows } from './aligned.ts';
import { CHUNK, chunksAtOnce, READ, TILE, WRITE } from './linear-chunks.ts';

export const logLinear = {
  logLinear: gpuKernel(LogLinearParams, (p, call) => {
    const { dk, dv, heads, sequenceCount } = p;
    if (call.items === 0) return [];
    // o is contiguous
    const length = p.oStrideB / p.oStrideT;
    const kp = roundUp(dk, 16);
    const vp = roundUp(dv, 4);
    // no sequence is longer than its slots can count, or than its batch entry
    const longest = Math.min(length, 2 ** p.slots);
    const chunkCount = Math.floor((sequenceCount * longest) / CHUNK) + 2 * sequenceCount;
    const stateBytes = 4 * kp * vp;
    const leftBytes = 4 * CHUNK * (CHUNK + kp);
    const keyBytes = 4 * CHUNK * kp;
    const atOnce = chunksAtOnce(call, chunkCount, heads * (leftBytes + keyBytes));
    const left = call.scratch(atOnce * heads * leftBytes);
    const keys = call.scratch(atOnce * heads * keyBytes);
    const decays = call.scratch(chunkCount * heads * 16);
    const states = call.scratch(chunkCount * heads * stateBytes);
    const wideQK =
      p.qType + p.kType === 0 &&
      alignedRows(p.q, p.qStrideB, p.qStrideT, p.qStrideH, dk) &&
      alignedRows(p.k, p.kStrideB, p.kStrideT, p.kStrideH);
    const wideV = p.vType === 0 && alignedRows(p.v, p.vStrideB, p.vStrideT, p.vStrideH, dv);
    const wideO = alignedRows(p.o, p.oStrideB, p.oStrideT, p.oStrideH, dv);
    const even = { exclusive: 0, gateKind: 1, gateGroup: 1, weight: 0, scale: 1 };

    const prepare = (slot: number, count: number, mode: number, sumsAt = decays + slot * heads * 16): Pass => ({
      shader: 'log-prepare',
      constants: { WIDE: wideQK },
      groups: count * heads,
      extra: { slot, length, kp, left, keys, decays: sumsAt, ...even, mode },
      memory: 'wide',
    });
    const add = (slot: number, count: number): Pass => ({
      shader: 'log-states',
      constants: { WIDE: wideV },
      groups: count * heads * groupsOf(kp, TILE) * groupsOf(vp, TILE),
      extra: { slot, length, kp, vp, stateBytes, keys, states: states + slot * heads * stateBytes, normalizer: 0 },
      memory: 'wide',
    });
    const sums: Pass = {
      shader: 'log-sums',
      groups: groupsOf(sequenceCount * heads, 64),
      extra: { length, decays },
      memory: 'wide',
    };
    const blocks = groupsOf((kp * vp) / 4, 64);
    const join: Pass = {
      shader: 'log-tree',
      groups: sequenceCount * heads * blocks,
      extra: { length, kp, vp, stateBytes, states, decays, blocks },
      memory: 'wide',
    };
    const write = (slot: number, count: number): Pass => ({
      shader: wideO ? 'log-outputs-wide' : 'log-outputs-words',
      constants: { WIDE: wideV && (!p.stateIn || alignedRows(p.stateIn)) },
      groups: count * heads * groupsOf(vp, TILE),
      extra: { slot, length, kp, vp, stateBytes, left, states, decays },
      memory: wideO ? 'wide' : 'words',
    });
    const elements = groupsOf(dk * dv, 128);
    const close = (slot: number, count: number): Pass => ({
      shader: 'log-final',
      groups: sequenceCount * heads * elements,
      extra: { slot, slots_: count, length, kp, vp, stateBytes, keys, states, decays, blocks: elements },
    });
    const parts: [slot: number, count: number][] = [];
    for (let slot = 0; slot < chunkCount; slot += atOnce) parts.push([slot, Math.min(atOnce, chunkCount - slot)]);
    if (parts.length === 1) {
      const [slot, count] = parts[0]!;
      return [prepare(slot, count, READ | WRITE), add(slot, count), sums, join, write(slot, count), close(slot, count)];
    }
    // what chunks are made of is made anew for their outputs; the sums of their gates are there
    const unwanted = call.scratch(atOnce * heads * 16);
    return [
      ...parts.flatMap(([slot, count]) => [prepare(slot, count, WRITE), add(slot, count)]),
      sums,
      join,
      ...parts.flatMap(([slot, count]) => [
        prepare(slot, count, READ | WRITE, unwanted),
        write(slot, count),
        close(slot, count),
      ]),
    ];
  }),
};
