import {
  attentionSync,
  groupedLatentAttentionSync,
  gtaSync,
  mfaSync,
  mlaSync,
  type Runtime,
  type Tensor,
  tpaSync,
} from '../../src/index.ts';

/** What all forms are measured at. */
export interface Setting {
  readonly heads: number;
  readonly headDim: number;
  readonly tokens: number;
  readonly dtype: 'f32' | 'f16' | 'bf16';
}

/** One form of the cache, on one query. */
export interface Form {
  readonly name: string;
  readonly setting: string;
  /** Numbers of a token, as a formula, and how many they are. */
  readonly formula: string;
  readonly numbers: number;
  /** Decodes one token; what it returns is freed by the caller. */
  decode(): { readonly o: Tensor; readonly lse?: Tensor };
}

/** A form whose tensors are made when it is measured. */
type Made = (rt: Runtime, setting: Setting) => Form;

/** Random numbers of about one, the same for every form. */
function rows(rt: Runtime, dtype: Setting['dtype'], ...shape: number[]): Tensor {
  let state = 7;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const size = shape.reduce((n, m) => n * m, 1);
  return rt.tensor(Float32Array.from({ length: size }, next), shape, dtype);
}

function grouped(name: string, kvHeads: (heads: number) => number, formula: string): Made {
  return (rt, { heads, headDim: d, tokens, dtype }) => {
    const own = kvHeads(heads);
    const q = rows(rt, 'f32', 1, 1, heads, d);
    const [k, v] = [rows(rt, dtype, 1, tokens, own, d), rows(rt, dtype, 1, tokens, own, d)];
    return {
      name,
      setting: `${own} key/value heads`,
      formula,
      numbers: 2 * own * d,
      decode: () => attentionSync({ q, k, v }, { causal: true }),
    };
  };
}

function latent(latents: number): Made {
  return (rt, { heads, headDim: d, tokens, dtype }) => {
    const [C, R] = [(4 * d) / latents, d / 2];
    const cache = rows(rt, dtype, 1, tokens, latents * C + R);
    const [cKv, kRope] = [cache.slice(2, 0, latents * C), cache.slice(2, latents * C, latents * C + R)];
    const queries = {
      qNope: rows(rt, 'f32', 1, 1, heads, d),
      qRope: rows(rt, 'f32', 1, 1, heads, R),
      wUk: rows(rt, 'f32', heads, C, d),
      wUv: rows(rt, 'f32', heads, C, d),
    };
    const options = { causal: true, absorb: true, scale: 1 / d };
    const apart = rows(rt, dtype, 1, tokens, latents, C);
    return {
      name: latents === 1 ? '`mla`' : '`groupedLatentAttention`',
      setting: latents === 1 ? `C ${C}, R ${R}` : `${latents} latents of ${C}, R ${R}`,
      formula: latents === 1 ? 'C + R' : 'L C + R',
      numbers: latents * C + R,
      decode: () =>
        latents === 1
          ? mlaSync({ ...queries, cKv, kRope }, options)
          : groupedLatentAttentionSync({ ...queries, cKv: apart, kRope }, options),
    };
  };
}

const tied: Made = (rt, { heads, headDim: d, tokens, dtype }) => {
  const [own, R] = [Math.ceil(heads / 8), d / 2];
  const q = rows(rt, 'f32', 1, 1, heads, d);
  const [kv, kRope] = [rows(rt, dtype, 1, tokens, own, d), rows(rt, dtype, 1, tokens, R)];
  return {
    name: '`gta`',
    setting: `${own} tied heads, R ${R}`,
    formula: 'Hkv D + R',
    numbers: own * d + R,
    decode: () => gtaSync({ q, kv, kRope }, { causal: true }),
  };
};

function factorised(reuse: boolean): Made {
  return (rt, { heads, headDim: d, tokens, dtype }) => {
    const D = 2 * d;
    const queries = { cQ: rows(rt, 'f32', 1, 1, D), wUq: rows(rt, 'f32', heads, D, D) };
    const k = rows(rt, dtype, 1, tokens, D);
    const values = reuse ? { wV: rows(rt, 'f32', D, D) } : { v: rows(rt, dtype, 1, tokens, D) };
    return {
      name: reuse ? '`mfa` with wV (MFA-KR)' : '`mfa`',
      setting: `D ${D}`,
      formula: reuse ? 'D' : '2 D',
      numbers: reuse ? D : 2 * D,
      decode: () => mfaSync({ ...queries, k, ...values }, { causal: true, scale: 1 / D }),
    };
  };
}

function tensorProduct(rank: number): Made {
  return (rt, { heads, headDim: d, tokens, dtype }) => {
    const [aQ, bQ] = [rows(rt, 'f32', 1, 1, 6, heads), rows(rt, 'f32', 1, 1, 6, d)];
    const [aK, bK] = [rows(rt, dtype, 1, tokens, rank, heads), rows(rt, dtype, 1, tokens, rank, d)];
    const [aV, bV] = [rows(rt, dtype, 1, tokens, rank, heads), rows(rt, dtype, 1, tokens, rank, d)];
    return {
      name: '`tpa`',
      setting: `ranks 6, ${rank}, ${rank}`,
      formula: '(Rk + Rv) (H + D)',
      numbers: 2 * rank * (heads + d),
      decode: () => tpaSync({ aQ, bQ, aK, bK, aV, bV }, { causal: true, contract: true }),
    };
  };
}

/** Every form, the largest first. */
export const forms: readonly Made[] = [
  grouped('`attention`, MHA', (heads) => heads, '2 H D'),
  grouped('`attention`, GQA', (heads) => Math.ceil(heads / 8), '2 Hkv D'),
  grouped('`attention`, MQA', () => 1, '2 D'),
  latent(1),
  latent(2),
  tied,
  factorised(false),
  factorised(true),
  tensorProduct(2),
  tensorProduct(1),
];
