/**
 * Pseudo-inverses of landmarks: a pass for every product of the iteration, of all matrices at once.
 *
 * @module
 */
import { PseudoInverseParams } from '../../generated/params.ts';
import { gpuKernel, groupsOf, type Pass } from '../kernel.ts';
import { aligned } from './aligned.ts';

/** Side of a tile of `inverse-product`. */
const TILE = 32;

export const lowrank = {
  pseudoInverse: gpuKernel(PseudoInverseParams, (p, { scratch }) => {
    const size = p.matrices * p.n * p.n;
    const memory = aligned([p.k, p.o], [p.n]) ? 'wide' : 'words';
    const groups = p.matrices * Math.ceil(p.n / TILE) ** 2;
    const product = (x: number, y: number, z: number, factor: number, scale: number): Pass => ({
      shader: 'inverse-product',
      memory,
      groups,
      extra: { x, y, z, factor, scale },
    });
    const room = Array.from({ length: p.iterations > 0 ? 4 : 0 }, () => scratch(size * 4)) as [
      number,
      number,
      number,
      number,
    ];
    const [z, x, y, v] = room;
    // the iterations end in o
    const values = Array.from({ length: p.iterations + 1 }, (_, i) => ((p.iterations - i) % 2 === 0 ? p.o : v));
    return [
      { shader: 'inverse-start', groups: groupsOf(size, 256), extra: { v: values[0]! } },
      ...values
        .slice(1)
        .flatMap((next, i) => [
          product(p.k, values[i]!, z, 0, 1),
          product(z, z, x, 7, 1),
          product(z, x, y, 15, 1),
          product(values[i]!, y, next, 13, 0.25),
        ]),
    ];
  }),
};
