import { type Activation, forward, normOf, output, readNetwork, unpacked } from './fast-weight.ts';
import { expNatural, inner, row, setRow, sigmoid, times } from './linear.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { type TitansInputs, titans } from './titans.ts';

/** Operands of titansLayer. */
export interface LayerInputs {
  x: NdArray;
  wq: NdArray;
  wk: NdArray;
  wv: NdArray;
  wo: NdArray;
  mq: NdArray;
  mk: NdArray;
  mv: NdArray;
  mo?: NdArray;
  gates: NdArray;
  gatesBias?: NdArray;
  persistentK?: NdArray;
  persistentV?: NdArray;
  lnWeight?: NdArray;
  lnBias?: NdArray;
  initialState: NdArray;
  initialMomentum?: NdArray;
}

export interface LayerOptions {
  combine: 'mac' | 'mag' | 'mal';
  window?: number;
  chunkSize?: number;
  eps?: number;
  target?: 'v' | 'v-k';
  residual?: 'none' | 'output' | 'query';
  depth?: number;
  expansion?: number;
  activation?: Activation;
}

/** x [B,L,K] w [K,N] + bias. */
function project(x: NdArray, w: NdArray, round: Round, bias?: NdArray): Result {
  const [B = 0, L = 0] = x.shape;
  const [K = 0, N = 0] = w.shape;
  const o = zeros([B, L, N]);
  for (let n = 0; n < B * L; n++) {
    const values = Array.from({ length: K }, (_, c) => x.data[n * K + c]!);
    for (let d = 0; d < N; d++) {
      const sum = inner(
        values,
        Array.from({ length: K }, (_, c) => w.data[c * N + d]!),
        round,
      );
      o.data[n * N + d] = bias ? round(sum + bias.data[d]!) : sum;
    }
  }
  return o;
}

const map = ({ shape, data }: NdArray, f: (x: number, n: number) => number): Result => ({
  shape,
  data: Float64Array.from(data, f),
});

/** Rows [from, to) of x [B,T,...]. */
function span({ shape, data }: NdArray, from: number, to: number): Result {
  const [B = 0, T = 0, ...rest] = shape;
  const width = rest.reduce((product, n) => product * n, 1);
  const part = zeros([B, to - from, ...rest]);
  for (let b = 0; b < B; b++)
    for (let n = 0; n < (to - from) * width; n++)
      part.data[b * (to - from) * width + n] = data[(b * T + from) * width + n]!;
  return part;
}

/** A layer of Titans, token by token (Titans, arXiv 2501.00663, section 4; the forms of `titansLayer`). */
export function titansLayer(
  inputs: LayerInputs,
  options: LayerOptions,
  round: Round = float64,
): { o: Result; finalState: Result; finalMomentum: Result } {
  const { x, wq, wk, wv, wo, mq, mk, mv, mo, gates, gatesBias, persistentK, persistentV, initialState } = inputs;
  const { lnWeight, lnBias, initialMomentum } = inputs;
  const { combine, window = 256, depth = 2, expansion = 4, activation = 'gelu', chunkSize, eps, target } = options;
  const [B = 0, T = 0, E = 0] = x.shape;
  const H = initialState.shape[1]!;
  const HD = wq.shape[1]!;
  const D = HD / H;
  const heads = (y: NdArray): NdArray => ({ shape: [B, y.shape[1]!, H, D], data: y.data });
  const flat = (y: NdArray): NdArray => ({ shape: [B, y.shape[1]!, HD], data: y.data });
  const norm = { ...(lnWeight && { lnWeight, lnBias: lnBias! }) };
  const residual = options.residual ?? (lnWeight ? 'query' : 'none');
  const memory = { depth, expansion, activation, residual, ...(eps !== undefined && { eps }) };

  let states: Pick<TitansInputs, 'initialState' | 'initialMomentum' | 'initialAnchor' | 'initialPosition'> = {
    initialState,
    ...(initialMomentum && { initialMomentum }),
  };
  let last = { finalState: map(initialState, (v) => v), finalMomentum: zeros(initialState.shape) };
  if (initialMomentum) last.finalMomentum = map(initialMomentum, (v) => v);

  const remember = (y: NdArray): NdArray => {
    const gate = map(project(y, gates, round, gatesBias), (v) => sigmoid(v, round));
    const part = (n: number): Result => {
      const L = y.shape[1]!;
      return {
        shape: [B, L, H],
        data: Float64Array.from(
          { length: B * L * H },
          (_, i) => gate.data[Math.floor(i / H) * 3 * H + n * H + (i % H)]!,
        ),
      };
    };
    const [q, k, v] = [mq, mk, mv].map((w) => heads(project(y, w, round)));
    const given = { q: q!, k: k!, v: v!, eta: part(0), theta: part(1), alpha: part(2), ...norm, ...states };
    const result = titans(given, { ...memory, ...(chunkSize && { chunkSize }), ...(target && { target }) }, round);
    const { finalState, finalMomentum, anchor, position } = result;
    last = { finalState, finalMomentum };
    states = {
      initialState: finalState,
      initialMomentum: finalMomentum,
      initialAnchor: anchor,
      initialPosition: position,
    };
    return flat(result.o);
  };

  const recall = (y: NdArray): NdArray => {
    const q = heads(project(y, mq, round));
    const o = zeros(q.shape);
    const widths = [D, ...new Array<number>(depth - 1).fill(D * expansion), D];
    const network = unpacked(states.initialState!, widths, false);
    for (let b = 0; b < B; b++)
      for (let h = 0; h < H; h++) {
        const net = readNetwork(network, b, h);
        for (let t = 0; t < y.shape[1]!; t++) {
          const query = row(q, b, t, h);
          const z = forward(net, query, activation, round).outputs.at(-1)!;
          setRow(o, output(z, query, normOf({ ...norm } as never, h, memory), residual, round), b, t, h);
        }
      }
    return flat(o);
  };

  const attention = (y: NdArray, context?: NdArray): NdArray => {
    const [q, k, v] = [wq, wk, wv].map((w) => heads(project(y, w, round))) as [NdArray, NdArray, NdArray];
    const [ck, cv] = context ? [wk, wv].map((w) => heads(project(context, w, round))) : [];
    const o = zeros(q.shape);
    for (let b = 0; b < B; b++)
      for (let h = 0; h < H; h++)
        for (let i = 0; i < y.shape[1]!; i++) {
          const keys: number[][] = [];
          const values: number[][] = [];
          for (let p = 0; persistentK && p < persistentK.shape[0]!; p++) {
            keys.push(row(persistentK, p, h));
            values.push(row(persistentV!, p, h));
          }
          for (let j = Math.max(0, i - window + 1); ck && j <= i; j++) {
            keys.push(row(ck, b, j, h));
            values.push(row(cv!, b, j, h));
          }
          for (let j = Math.max(0, i - window + 1); j <= i; j++) {
            keys.push(row(k, b, j, h));
            values.push(row(v, b, j, h));
          }
          const scores = keys.map((key) => round(inner(row(q, b, i, h), key, round) * round(D ** -0.5)));
          const most = Math.max(...scores);
          const weights = scores.map((s) => expNatural(round(s - most), round));
          const sum = weights.reduce((total, w) => round(total + w), 0);
          const read = Array.from({ length: D }, (_, d) =>
            inner(
              weights,
              values.map((value) => value[d]!),
              round,
            ),
          );
          setRow(
            o,
            times(read, 1, round).map((e) => round(e / sum)),
            b,
            i,
            h,
          );
        }
    return flat(o);
  };
  const gated = (y: NdArray, m: NdArray) => map(y, (e, n) => round(e * sigmoid(m.data[n]!, round)));

  if (combine === 'mag') {
    const learnt = remember(x);
    return { o: project(gated(attention(x), learnt), wo, round), ...last };
  }
  if (combine === 'mal') return { o: project(attention(project(remember(x), mo!, round)), wo, round), ...last };
  const o = zeros([B, T, E]);
  for (let from = 0; from < T; from += window) {
    const to = Math.min(T, from + window);
    const part = span(x, from, to);
    const y = project(attention(part, project(recall(part), mo!, round)), wo, round);
    const out = gated(y, project(remember(y), mo!, round));
    for (let b = 0; b < B; b++) for (let t = from; t < to; t++) setRow(o, row(out, b, t - from), b, t);
  }
  return { o, ...last };
}
