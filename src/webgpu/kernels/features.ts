/**
 * Feature maps: one thread for each element, or sixteen for each row where elements depend on their row.
 *
 * @module
 */
import {
  CosineParams,
  DpfpParams,
  FavorParams,
  FeatureSoftmaxParams,
  FocusedParams,
  L2NormParams,
  PointwiseParams,
  PolynomialParams,
  RodimusParams,
} from '../../generated/gpu-params.ts';
import type { ShaderName } from '../../generated/shaders.ts';
import type { Layout } from '../../runtime/params.ts';
import { type Fields, type GpuKernel, gpuKernel, groupsOf } from '../kernel.ts';

const THREADS = 256;
const ROWS = 16;
/** Tokens whose largest projection one group finds. */
const TOKENS = 64;

/** A thread for each of a row's `elements`. */
function byElement<const L extends Layout>(
  layout: L,
  shader: ShaderName,
  elements: (p: Fields<L>) => number,
): GpuKernel {
  return gpuKernel(layout, (p, { items }) => [
    { shader, groups: groupsOf(items * elements(p), THREADS), extra: { rows: items } },
  ]);
}

/** Sixteen threads for each row. */
function byRow(layout: Layout, shader: ShaderName): GpuKernel {
  return gpuKernel(layout, (_, { items }) => [{ shader, groups: groupsOf(items, ROWS), extra: { rows: items } }]);
}

export const features = {
  featurePointwise: byElement(PointwiseParams, 'feature-pointwise', (p) => p.d),
  featureCosine: byElement(CosineParams, 'feature-cosine', (p) => p.d),
  featureDpfp: byElement(DpfpParams, 'feature-dpfp', (p) => p.features),
  rodimusGates: byElement(RodimusParams, 'rodimus-gates', (p) => p.d),
  featurePolynomial: gpuKernel(PolynomialParams, (p, { items }) => {
    const threads = 1 + 2 * p.d + (p.productAt >= 0 ? p.d * p.d : 0);
    const groups = groupsOf(items * threads, THREADS);
    return [{ shader: 'feature-polynomial', groups, extra: { rows: items, threads } }];
  }),
  featureSoftmax: byRow(FeatureSoftmaxParams, 'feature-softmax'),
  featureL2Norm: byRow(L2NormParams, 'feature-l2norm'),
  featureFocused: byRow(FocusedParams, 'feature-focused'),
  favor: byRow(FavorParams, 'favor'),
  favorMaxima: gpuKernel(FavorParams, (p, call) => {
    const parts = groupsOf(p.length, TOKENS);
    const extra = { parts, most: call.scratch(4 * call.items * parts) };
    return [
      { shader: 'favor-maxima', groups: call.items * parts, extra },
      { shader: 'favor-most', groups: call.items, extra },
    ];
  }),
};
