import { after, test } from 'node:test';
import { adaptiveGate } from '../../src/engines/adaptive-gate.ts';
import { PseudoInverseParams } from '../../src/generated/params.ts';
import type { Runtime, Tensor } from '../../src/index.ts';
import { encode } from '../../src/runtime/params.ts';
import { run } from '../../src/runtime/program.ts';
import { sizeOf } from '../../src/tensor.ts';
import { randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

function numbers(rt: Runtime, shape: readonly number[], seed: number, scale = 1): Tensor {
  const next = randomFrom(seed);
  return rt.tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => (next() * 2 - 1) * scale),
    shape,
  );
}

test('pseudo-inverses of matrices whose rows sum to 1', async () => {
  for (const [n, iterations, shared] of [
    [1, 6, 0],
    [3, 0, 1],
    [16, 6, 1],
    [37, 5, 0],
    [64, 6, 1],
  ] as const) {
    const matrices = 3;
    const next = randomFrom(n);
    const k = Float32Array.from({ length: matrices * n * n }, () => next() ** 4);
    for (let row = 0; row < matrices * n; ++row) {
      const own = k.subarray(row * n, (row + 1) * n);
      // close to their largest element, so that the iteration is well conditioned
      own[row % n]! += 2;
      const sum = own.reduce((total, x) => total + x, 0);
      own.forEach((x, i) => {
        own[i] = x / sum;
      });
    }
    await sameOnBoth(
      (rt) => ({ k: rt.tensor(k, [matrices, n, n]), most: rt.tensor(Float32Array.of(1.2, 1.9, 1.4), [matrices]) }),
      ({ k, most }) =>
        run('test', { k }, (b) => {
          const o = b.output([matrices, n, n]);
          const params = encode(PseudoInverseParams, {
            k: k.address,
            most: most.address,
            o: o.address,
            matrices,
            n,
            iterations,
            shared,
          });
          const scratchBytes = b.runtime.scratchBytes('pseudoInverseScratchBytes', params);
          b.dispatch({ kernel: 'pseudoInverse', params, items: matrices, scratchBytes, flops: n ** 3 });
          return { o };
        }),
      1e-5,
    );
  }
});

test('gates from pooled inputs', async () => {
  for (const [B, T, M, H, F, I, bare] of [
    [2, 37, 24, 3, 20, 9, false],
    [1, 1, 5, 2, 130, 17, true],
    [3, 150, 12, 5, 7, 140, false],
  ] as const) {
    const pools = 3;
    const features = [M, Math.floor(M / 2), Math.floor(M / 4)].reduce((sum, n) => sum + Math.max(1, n), 0);
    await sameOnBoth(
      (rt) => ({
        x: numbers(rt, [B, T, M], 1, 2),
        weights: {
          featureWeight: numbers(rt, [F, features], 2),
          featureBias: bare ? undefined : numbers(rt, [F], 3),
          normWeight: bare ? undefined : numbers(rt, [F], 4),
          normBias: bare ? undefined : numbers(rt, [F], 5),
          complexityWeight1: numbers(rt, [I, F], 6),
          complexityBias1: bare ? undefined : numbers(rt, [I], 7),
          complexityWeight2: numbers(rt, [H, I], 8),
          confidenceWeight1: numbers(rt, [I, F], 9),
          confidenceWeight2: numbers(rt, [H, I], 10),
          confidenceBias2: bare ? undefined : numbers(rt, [H], 11),
          threshold: numbers(rt, [H], 12),
          temperature: rt.tensor([-0.7], [1]),
        },
      }),
      ({ x, weights }) =>
        run('test', { x }, (b) => {
          const gates = { gate: b.output([B, H]), complexity: b.output([B, H]), confidence: b.output([B, H]) };
          adaptiveGate(b, x, weights, pools, gates);
          return gates;
        }),
      1e-5,
    );
  }
});
