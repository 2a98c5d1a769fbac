/**
 * Linear attention whose heads decay at constant rates: retention and lightning attention.
 *
 * @module
 */
import { linear } from '../engines/linear.ts';
import {
  type LinearInputs,
  type LinearOptions,
  type LinearResult,
  openLinear,
  type Stepped,
} from '../engines/linear-operands.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `lightningAttn`. */
export interface LightningAttnInputs extends LinearInputs {
  /** f32 [HV]: a head decays by e^-slope a token, in place of the rates that follow from the layer. */
  readonly slopes?: Tensor;
}

/** Options of `lightningAttn`. */
export interface LightningAttnOptions extends LinearOptions {
  /** This layer's number, from 0, and the number of layers: head h decays by e^(-8/HV (1 - layerIdx/numLayers) h). Defaults 0 and 1. */
  readonly layerIdx?: number;
  readonly numLayers?: number;
}

const SHARED = ['q', 'k', 'v', 'initialState', 'cuSeqlens'];

/** Lays out linear attention with one log decay for each value head. */
function planConstant(
  b: Builder,
  op: string,
  inputs: LinearInputs,
  options: LinearOptions,
  decays: Tensor | ((head: number, heads: number) => number),
  into: StepTarget | undefined,
): LinearResult {
  const { call, sizes } = openLinear(b, op, inputs, options, { into });
  const { B, T, HV } = sizes;
  let g: Tensor;
  if (typeof decays === 'function') {
    g = b.temporary([HV]);
    g.write(Array.from({ length: HV }, (_, head) => decays(head, HV)));
  } else {
    matchShapes(op, { slopes: decays }, { slopes: `${HV}` });
    g = decays;
  }
  linear(b, { ...call, g: g.broadcast([B, T, HV]) });
  return { o: call.o, finalState: call.final.state };
}

/** Lays out retention. */
export function planRetention(
  b: Builder,
  inputs: LinearInputs,
  options: LinearOptions,
  into?: StepTarget,
): LinearResult {
  expectNames('retention', 'input', inputs, SHARED);
  expectNames('retention', 'option', options, ['scale']);
  return planConstant(b, 'retention', inputs, options, (head) => Math.log1p(-(2 ** (-5 - head))), into);
}

/** Lays out lightning attention. */
export function planLightning(
  b: Builder,
  inputs: LightningAttnInputs,
  options: LightningAttnOptions,
  into?: StepTarget,
): LinearResult {
  const op = 'lightningAttn';
  expectNames(op, 'input', inputs, [...SHARED, 'slopes']);
  expectNames(op, 'option', options, ['scale', 'layerIdx', 'numLayers']);
  const layers = finite(op, 'numLayers', options.numLayers, 1, 1);
  const layer = finite(op, 'layerIdx', options.layerIdx, 0, 0, layers);
  const { slopes, ...operands } = inputs;
  if (!slopes) {
    const rate = (head: number, heads: number) => -(8 / heads) * (1 - layer / layers) * head;
    return planConstant(b, op, operands, options, rate, into);
  }
  expectTypes(op, { slopes }, ['f32']);
  expectContiguous(op, { slopes });
  const g = b.temporary(slopes.shape);
  g.write((slopes.dataSync() as Float32Array).map((x) => -x));
  return planConstant(b, op, operands, options, g, into);
}

/**
 * Retention: linear attention whose head h decays by 1 - 2^(-5 - h) a token. Rotary embedding of q and k, the group norm and the gate
 * of a RetNet layer are functions of their own.
 *
 * Source: RetNet (Sun 2023); reference implementation fla, naive_retention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await retention({ q, k, v })
 */
export function retention(inputs: LinearInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('retention', inputs, (b) => planRetention(b, inputs, options));
}

/** As `retention`, to the end before it returns. */
export function retentionSync(inputs: LinearInputs, options: LinearOptions = {}): LinearResult {
  return runSync('retention', inputs, (b) => planRetention(b, inputs, options));
}

/**
 * One token of `retention`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example retentionStep({ q, k, v, state, o })
 */
export function retentionStep(inputs: Stepped<LinearInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: 'retention', options, timed: ['v', 'q', 'k'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planRetention(b, lifted, options, into));
}

/**
 * Lightning attention: linear attention with a constant decay for each head, by the layer or by `slopes`.
 *
 * Source: Lightning Attention-2 (Qin 2024); reference implementation fla, lightning_attn. The original kernel takes ALiBi slopes and
 * scale 1: pass these.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await lightningAttn({ q, k, v }, { layerIdx: 2, numLayers: 24 })
 */
export function lightningAttn(inputs: LightningAttnInputs, options: LightningAttnOptions = {}): Promise<LinearResult> {
  return run('lightningAttn', inputs, (b) => planLightning(b, inputs, options));
}

/** As `lightningAttn`, to the end before it returns. */
export function lightningAttnSync(inputs: LightningAttnInputs, options: LightningAttnOptions = {}): LinearResult {
  return runSync('lightningAttn', inputs, (b) => planLightning(b, inputs, options));
}

/**
 * One token of `lightningAttn`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example lightningAttnStep({ q, k, v, state, o }, { layerIdx: 2, numLayers: 24 })
 */
export function lightningAttnStep(
  inputs: Stepped<LightningAttnInputs>,
  options: LightningAttnOptions = {},
): { o: Tensor } {
  const shape = { op: 'lightningAttn', options, timed: ['v', 'q', 'k'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planLightning(b, lifted, options, into));
}
