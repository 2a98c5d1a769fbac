/**
 * Diagonal state-space models: S4D and DSS.
 *
 * @module
 */
import {
  type DiagonalCall,
  type DiagonalSystem,
  diagonalConvolve,
  diagonalScan,
  diagonalTable,
  tableShape,
} from '../engines/diagonal.ts';
import { sequencesOf } from '../engines/sequences.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Eigenvalues, steps and output weights of H channels with N states each. */
export interface DiagonalInputs {
  /** f32 [H, N]: real parts of the eigenvalues, negative for states that fade. */
  readonly AReal: Tensor;
  /** f32 [H, N]: imaginary parts. */
  readonly AImag: Tensor;
  /** f32 [H, N, 2]: complex output weights. */
  readonly C: Tensor;
  /** f32 [H]: natural logarithm of the step. */
  readonly logDt: Tensor;
}

/** Operands of `s4d` and `dss`. */
export interface S4dInputs extends DiagonalInputs {
  /** f32 [B, T, H] */
  readonly u: Tensor;
  /** f32 [H]: weight of the input in the output. Default zeros. */
  readonly D?: Tensor | undefined;
  /** f32 [S, H, N, 2]: complex states before the first step, S = B or the sequences of cuSeqlens. Default zeros. */
  readonly initialState?: Tensor | undefined;
  /** i32 [S + 1]: boundaries of sequences that are packed along T; B is 1. */
  readonly cuSeqlens?: Tensor | undefined;
}

/** What the steps of both methods take besides parameters. */
interface DiagonalStepInputs {
  /** f32 [B, H] */
  readonly u: Tensor;
  /** f32 [H] */
  readonly D?: Tensor | undefined;
  /** f32 [B, H, N, 2]: complex states, moved on in place. */
  readonly state: Tensor;
  /** f32 [B, H] to write into; must not be u. */
  readonly o?: Tensor | undefined;
}

/** Operands of `dssStep`. */
export interface DssStepInputs extends DiagonalStepInputs, DiagonalInputs {}

/** Operands of `s4dStep`: either the parameters or the table that `s4dTable` makes of them. */
export type S4dStepInputs = DiagonalStepInputs & (DiagonalInputs | S4dTable);

/** What `s4dTable` makes of AReal, AImag, C, logDt and the discretization, to be given in their place; of no use to `dss`. */
export interface S4dTable {
  /** f32 [H, ceil(N / 4), 8, 4] */
  readonly table: Tensor;
}

/** How a whole sequence is computed; the results differ by rounding. */
export type DiagonalMode = 'auto' | 'recurrent' | 'convolution';

/** Options of `s4dStep` and `s4dTable`. */
export interface S4dStepOptions {
  /** How continuous time is cut into steps. Default 'zoh', zero-order hold. */
  readonly discretization?: 'zoh' | 'bilinear';
}

/** Options of `s4d`. */
export interface S4dOptions extends S4dStepOptions {
  /** Step by step, or by FFT with the kernel of the whole sequence. Default 'auto', by the shapes: FFT pays for many states. */
  readonly mode?: DiagonalMode;
}

/** Options of `dssStep`. */
export interface DssStepOptions {
  /** Default 'exp'. */
  readonly variant?: 'exp' | 'softmax';
  /** Steps that 'softmax' normalises over, the length of the kernel that was trained. Default T; a step needs it. */
  readonly length?: number;
  /** Added to the squared sizes that 'softmax' divides by. Default 1e-7. */
  readonly eps?: number;
}

/** Options of `dss`. */
export interface DssOptions extends DssStepOptions {
  /** As in `s4d`. */
  readonly mode?: DiagonalMode;
}

/** Results of `s4d` and `dss`. */
export interface S4dResult {
  /** f32 [B, T, H] */
  readonly o: Tensor;
  /** f32 [S, H, N, 2]: complex states after the last step. */
  readonly finalState: Tensor;
}

/** Exponents of the largest growth of a normalised state over a step, and over a kernel in the recurrence. */
const MOST_GROWTH = 1;
const MOST_WHOLE_GROWTH = 40;
/** What steps call the state, and what the methods do. */
const STATES = { state: 'initialState' };
const PARAMETERS = ['AReal', 'AImag', 'C', 'logDt'] as const;

/** How the parameters of a method are meant. */
type Meaning = Pick<DiagonalSystem, 'rule' | 'factor' | 'span' | 'eps'>;

function s4dMeaning(op: string, options: S4dStepOptions): Meaning {
  const { discretization = 'zoh' } = options;
  if (discretization !== 'zoh' && discretization !== 'bilinear') {
    throw new OptionError(`${op}: discretization is '${discretization}', expected 'zoh' or 'bilinear'`);
  }
  return { rule: discretization, factor: 2 };
}

function dssMeaning(op: string, options: DssStepOptions, length: number | undefined): Meaning {
  const { variant = 'exp' } = options;
  if (variant !== 'exp' && variant !== 'softmax') {
    throw new OptionError(`${op}: variant is '${variant}', expected 'exp' or 'softmax'`);
  }
  const span = options.length ?? length;
  if (variant === 'softmax' && span === undefined) {
    throw new OptionError(`${op}: length is missing: 'softmax' normalises over the length of the trained kernel`);
  }
  return {
    rule: variant === 'exp' ? 'zoh' : 'softmax',
    factor: 1,
    span: whole(op, 'length', span, 1, 1),
    eps: finite(op, 'eps', options.eps, 1e-7, 0),
  };
}

function systemOf(op: string, inputs: DiagonalInputs, meaning: Meaning): DiagonalSystem {
  const { AReal, AImag, C, logDt } = inputs;
  matchShapes(op, { AReal, AImag, C, logDt }, { AReal: 'H N', AImag: 'H N', C: 'H N 2', logDt: 'H' });
  expectTypes(op, { AReal, AImag, C, logDt }, ['f32']);
  expectContiguous(op, { AReal, AImag, C, logDt });
  return { aReal: AReal, aImag: AImag, c: C, logDt, ...meaning };
}

function modeOf(op: string, mode: DiagonalMode = 'auto', cuSeqlens: Tensor | undefined): DiagonalMode {
  if (!['auto', 'recurrent', 'convolution'].includes(mode)) {
    throw new OptionError(`${op}: mode is '${mode}', expected 'auto', 'recurrent' or 'convolution'`);
  }
  if (mode === 'convolution' && cuSeqlens) {
    throw new OptionError(`${op}: mode 'convolution' has no packed sequences. Use 'recurrent' with cuSeqlens.`);
  }
  return mode;
}

/** Largest growth of a state over a step, and over a whole normalised kernel, as exponents; 0 where none grows. */
function growthOf({ aReal, logDt, span = 1 }: DiagonalSystem): { step: number; whole: number } {
  const [channels, states] = aReal.shape as [number, number];
  const [real, steps] = [aReal.dataSync(), logDt.dataSync()];
  let step = 0;
  for (let h = 0; h < channels; ++h) {
    const dt = Math.exp(steps[h]!);
    for (let n = 0; n < states; ++n) step = Math.max(step, dt * real[h * states + n]!);
  }
  return { step, whole: step * (span - 1) };
}

/** Whether a normalised kernel must be a convolution: float32 has no room for states that grow from nothing to their size. */
function tooSteep(op: string, system: DiagonalSystem): boolean {
  if (system.rule !== 'softmax') return false;
  const { step, whole } = growthOf(system);
  if (step > MOST_GROWTH) {
    throw new OptionError(
      `${op}: a state grows by e^${step.toPrecision(3)} a step, expected at most e: lower AReal or logDt where AReal > 0`,
    );
  }
  return whole > MOST_WHOLE_GROWTH;
}

function steepError(op: string): OptionError {
  return new OptionError(
    `${op}: states grow by more than e^${MOST_WHOLE_GROWTH} over the length of the kernel, too much for the recurrence. ` +
      "Use dss with mode 'convolution', without cuSeqlens.",
  );
}

/** Checks what is given besides parameters, for channels and states as the axes H and N of one of them; makes the results. */
function openDiagonal(
  b: Builder,
  op: string,
  inputs: Pick<S4dInputs, 'u' | 'D' | 'initialState' | 'cuSeqlens'>,
  [name, holder, axes]: readonly [string, Tensor | undefined, string],
  into: StepTarget | undefined,
): DiagonalCall {
  const { u, D, initialState, cuSeqlens } = inputs;
  const sizes = matchShapes(op, { u, [name]: holder, D }, { u: 'B T H', [name]: axes, D: '?H' });
  const { B, T, H, N } = sizes as Record<'B' | 'T' | 'H' | 'N', number>;
  expectTypes(op, { u, D }, ['f32']);
  expectRows(op, { u });
  expectContiguous(op, { D });
  const sequences = sequencesOf(op, { B, Tq: T, Tk: T }, { cuSeqlens });
  const finalState = carried(b, op, 'initialState', initialState, [sequences.length, H, N, 2], into);
  return { u, d: D, initialState, finalState, o: into?.o ?? b.output([B, T, H]), sequences };
}

/** Lays out a call of either method. */
function planDiagonal(
  b: Builder,
  op: string,
  inputs: S4dInputs,
  meaning: Meaning,
  givenMode: DiagonalMode | undefined,
  into: StepTarget | undefined,
): S4dResult {
  expectNames(op, 'input', inputs, ['u', ...PARAMETERS, 'D', 'initialState', 'cuSeqlens']);
  const { u, initialState, cuSeqlens } = inputs;
  const call = openDiagonal(b, op, inputs, ['AReal', inputs.AReal, 'H N'], into);
  const system = systemOf(op, inputs, meaning);
  const mode = modeOf(op, givenMode, cuSeqlens);
  const [[B, T], [H, N]] = [u.shape, inputs.AReal.shape] as [[number, number], [number, number]];
  // measured: kernels pay when a batch shares them and states are many, while the transforms fit a core's cache
  const pays = !initialState && !cuSeqlens && B >= 4 && N >= 128 && T >= 1024 && T <= 2048;
  const steep = tooSteep(op, system);
  if (steep && (mode === 'recurrent' || cuSeqlens)) throw steepError(op);
  const convolution = T > 0 && (mode === 'convolution' || (mode === 'auto' && (pays || steep)));
  b.note(() => (convolution ? 'as a convolution, by FFT' : 'as a recurrence, step by step'));
  if (convolution) {
    diagonalConvolve(b, system, call);
  } else {
    const table = b.temporary(tableShape(H, N));
    diagonalTable(b, system, table);
    diagonalScan(b, table, call);
  }
  return { o: call.o, finalState: call.finalState };
}

/** Lays out a step of `s4d` whose coefficients are there. */
function planTableStep(b: Builder, inputs: Omit<S4dInputs, keyof DiagonalInputs> & S4dTable, into: StepTarget): object {
  expectNames('s4d', 'input', inputs, ['u', 'table', 'D', 'initialState']);
  const { table, initialState } = inputs;
  const call = openDiagonal(b, 's4d', inputs, ['initialState', initialState, 'S H N 2'], into);
  const [, H, N] = call.finalState.shape as [number, number, number];
  matchShapes('s4d', { table }, { table: tableShape(H, N).join(' ') });
  expectTypes('s4d', { table }, ['f32']);
  expectContiguous('s4d', { table });
  diagonalScan(b, table, call);
  return call;
}

/** Lays out `s4d`. */
export function planS4d(b: Builder, inputs: S4dInputs, options: S4dOptions, into?: StepTarget): S4dResult {
  expectNames('s4d', 'option', options, ['discretization', 'mode']);
  return planDiagonal(b, 's4d', inputs, s4dMeaning('s4d', options), options.mode, into);
}

/**
 * Diagonal state-space model: o_t = 2 Re sum_n C_n x_t,n + D u_t with x_t = a x_{t-1} + b u_t of each channel, where
 * a = e^{dt A} and b = (a - 1) / A ('zoh'), or a = (1 + dt A / 2) / (1 - dt A / 2) and b = dt / (1 - dt A / 2)
 * ('bilinear'); a state stands for itself and its conjugate.
 *
 * Source: S4D (Gu et al. 2022); reference implementation state-spaces/s4, models/s4/s4d.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await s4d({ u, AReal, AImag, C, D, logDt })
 */
export function s4d(inputs: S4dInputs, options: S4dOptions = {}): Promise<S4dResult> {
  return run('s4d', inputs, (b) => planS4d(b, inputs, options));
}

/** As `s4d`, to the end before it returns. */
export function s4dSync(inputs: S4dInputs, options: S4dOptions = {}): S4dResult {
  return runSync('s4d', inputs, (b) => planS4d(b, inputs, options));
}

/**
 * `s4d` of one new row: the states move on by it in place.
 *
 * Source: as `s4d`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = s4dStep({ u, table, D, state })
 */
export function s4dStep(inputs: S4dStepInputs, options: S4dStepOptions = {}): { o: Tensor } {
  expectNames('s4dStep', 'option', options, ['discretization']);
  return runStep({ op: 's4d', options, timed: ['u'], states: STATES }, inputs, (b, lifted, into) =>
    'table' in inputs ? planTableStep(b, lifted, into) : planS4d(b, lifted, { ...options, mode: 'recurrent' }, into),
  );
}

/**
 * The discretised coefficients of `s4d` for `s4dStep`, which then needs no exponentials: f32 [H, ceil(N / 4), 8, 4]. They hold
 * 2 C, each state standing for a conjugate pair too, so `dssStep` does not take them.
 *
 * Source: as `s4d`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { table } = s4dTable({ AReal, AImag, C, logDt })
 */
export function s4dTable(inputs: DiagonalInputs, options: S4dStepOptions = {}): S4dTable {
  const op = 's4dTable';
  return runSync(op, inputs, (b) => {
    expectNames(op, 'input', inputs, PARAMETERS);
    expectNames(op, 'option', options, ['discretization']);
    const system = systemOf(op, inputs, s4dMeaning(op, options));
    const table = b.output(tableShape(...(system.aReal.shape as [number, number])));
    diagonalTable(b, system, table);
    return { table };
  });
}

/** Lays out `dss`. */
export function planDss(b: Builder, inputs: S4dInputs, options: DssOptions, into?: StepTarget): S4dResult {
  expectNames('dss', 'option', options, ['variant', 'length', 'eps', 'mode']);
  const length = into ? undefined : Math.max(1, inputs.u?.shape?.[1] ?? 1);
  return planDiagonal(b, 'dss', inputs, dssMeaning('dss', options, length), options.mode, into);
}

/**
 * Diagonal state space: causal convolution with K_l = Re sum_n C_n b_n e^{dt A_n l}, plus D u. Variant 'exp' has
 * b = (e^{dt A} - 1) / A; variant 'softmax' has b = (e^{dt A} - 1) / (A (e^{dt A length} - 1)), the softmax over the
 * steps of a kernel of `length`, where 1 / x is conj x / (|x|^2 + eps); growing states (Re A > 0) are normalised from
 * the last step backwards, and may grow by at most e a step. Unlike in `s4d` states have no conjugates.
 *
 * Source: Diagonal State Spaces (Gupta et al. 2022), proposition 1; reference implementation state-spaces/s4, disc
 * 'dss'.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await dss({ u, AReal, AImag, C, D, logDt }, { variant: 'softmax' })
 */
export function dss(inputs: S4dInputs, options: DssOptions = {}): Promise<S4dResult> {
  return run('dss', inputs, (b) => planDss(b, inputs, options));
}

/** As `dss`, to the end before it returns. */
export function dssSync(inputs: S4dInputs, options: DssOptions = {}): S4dResult {
  return runSync('dss', inputs, (b) => planDss(b, inputs, options));
}

/**
 * `dss` of one new row: the states move on by it in place.
 *
 * Source: as `dss`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = dssStep({ u, AReal, AImag, C, logDt, state }, { variant: 'softmax', length: 1024 })
 */
export function dssStep(inputs: DssStepInputs, options: DssStepOptions = {}): { o: Tensor } {
  expectNames('dssStep', 'option', options, ['variant', 'length', 'eps']);
  return runStep({ op: 'dss', options, timed: ['u'], states: STATES }, inputs, (b, lifted, into) =>
    planDss(b, lifted, { ...options, mode: 'recurrent' }, into),
  );
}
