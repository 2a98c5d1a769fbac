// The references that every property test trusts, against golden cases of public implementations.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readSafetensors, tensorValues } from '../src/safetensors.ts';
import { attention } from './reference/attention.ts';
import { bigbird } from './reference/bigbird.ts';
import { comba, combaDplr } from './reference/comba.ts';
import { gatedDeltaProduct, gatedDeltaProductDplr } from './reference/delta-product.ts';
import { deltaRule, deltaRuleDplr, gatedDeltaRule, gatedDeltaRuleDplr } from './reference/delta-rule.ts';
import { deltaformer } from './reference/deltaformer.ts';
import { differentialAttention } from './reference/differential.ts';
import { dplr, iplr } from './reference/dplr.ts';
import { dsa } from './reference/dsa.ts';
import { h2o, snapkv } from './reference/evict.ts';
import {
  based,
  basedRecurrent,
  cosformer,
  cosformerRecurrent,
  performer,
  rebased,
  rebasedRecurrent,
} from './reference/feature-attention.ts';
import { forgettingAttn } from './reference/forgetting.ts';
import { gdn2, gdn2Dplr } from './reference/gdn2.ts';
import { gla, hgrn2, simpleGla } from './reference/gla.ts';
import { hgrn } from './reference/hgrn.ts';
import { kda, kdaDplr } from './reference/kda.ts';
import { linearAttn } from './reference/linear-attn.ts';
import { linformer } from './reference/linformer.ts';
import { logLinearAttn } from './reference/log-linear.ts';
import { longformer } from './reference/longformer.ts';
import { lshAttention } from './reference/lsh.ts';
import { mesaNet } from './reference/mesa-net.ts';
import { mla, mlaAbsorbed } from './reference/mla.ts';
import { mlstm } from './reference/mlstm.ts';
import { moba } from './reference/moba.ts';
import { float32, float32Base2, float64, type NdArray, type Round } from './reference/ndarray.ts';
import { nsa } from './reference/nsa.ts';
import { nystromAttention } from './reference/nystrom.ts';
import { pagedAttention } from './reference/paged.ts';
import { parallax } from './reference/parallax.ts';
import { pathAttn } from './reference/path.ts';
import {
  blockwiseAttention,
  dilatedAttention,
  fixedAttention,
  logsparseAttention,
  streamingLlm,
  stridedAttention,
} from './reference/patterns.ts';
import { quest } from './reference/quest.ts';
import { lightningAttn, retention } from './reference/retention.ts';
import { rgLru } from './reference/rg-lru.ts';
import { rope } from './reference/rope.ts';
import { routingAttention } from './reference/routing.ts';
import { rwkv5, rwkv6 } from './reference/rwkv.ts';
import { rwkv4 } from './reference/rwkv4.ts';
import { rwkv7, rwkv7Dplr } from './reference/rwkv7.ts';
import { s4d } from './reference/s4d.ts';
import { selectiveScan } from './reference/selective-scan.ts';
import { abc, gsa } from './reference/slots.ts';
import { ssd } from './reference/ssd.ts';
import { swinAttention } from './reference/swin.ts';
import { titansLinear, titansLinearDual } from './reference/titans.ts';
import { topKAttention, topPAttention } from './reference/top-attention.ts';
import { tttLinear, tttLinearDual } from './reference/ttt.ts';

// biome-ignore lint/suspicious/noExplicitAny: a case's inputs and attributes are known only when it is read
type Reference = (inputs: any, options: any, round: Round) => Record<string, NdArray>;

const references: Record<string, Reference[]> = {
  abc: [abc],
  attention: [attention],
  based: [based, basedRecurrent],
  bigbird: [bigbird],
  blockwise_attention: [blockwiseAttention],
  comba: [comba, combaDplr],
  cosformer: [cosformer, cosformerRecurrent],
  delta_rule: [deltaRule, deltaRuleDplr],
  deltaformer: [deltaformer],
  differential_attention: [differentialAttention],
  dilated_attention: [dilatedAttention],
  dplr: [dplr],
  fixed_attention: [fixedAttention],
  dsa: [dsa],
  forgetting_attn: [forgettingAttn],
  gated_delta_product: [gatedDeltaProduct, gatedDeltaProductDplr],
  gated_delta_rule: [gatedDeltaRule, gatedDeltaRuleDplr],
  gdn2: [gdn2, gdn2Dplr],
  gla: [gla],
  gsa: [gsa],
  h2o: [h2o],
  hgrn2: [hgrn2],
  iplr: [iplr],
  kda: [kda, kdaDplr],
  lightning_attn: [lightningAttn],
  linear_attn: [linearAttn],
  linformer: [linformer],
  log_linear_attn: [logLinearAttn],
  logsparse_attention: [logsparseAttention],
  longformer: [longformer],
  lsh_attention: [lshAttention],
  hgrn: [hgrn],
  mesa_net: [mesaNet],
  mla: [mla, mlaAbsorbed],
  mlstm: [mlstm],
  moba: [moba],
  nsa: [nsa],
  nystrom_attention: [nystromAttention],
  paged_attention: [pagedAttention],
  parallax: [parallax],
  path_attn: [pathAttn],
  performer: [performer],
  quest: [quest],
  rebased: [rebased, rebasedRecurrent],
  retention: [retention],
  rope: [rope],
  routing_attention: [routingAttention],
  s4d: [s4d],
  rwkv5: [rwkv5],
  rwkv6: [rwkv6],
  rwkv7: [rwkv7, rwkv7Dplr],
  simple_gla: [simpleGla],
  snapkv: [snapkv],
  ssd: [ssd],
  rg_lru: [rgLru],
  rwkv4: [rwkv4],
  selective_scan: [selectiveScan],
  streaming_llm: [streamingLlm],
  strided_attention: [stridedAttention],
  swin_attention: [swinAttention],
  titans_linear: [titansLinear, titansLinearDual],
  top_k_attention: [topKAttention],
  top_p_attention: [topPAttention],
  ttt_linear: [tttLinear, tttLinearDual],
};

const folder = new URL('vectors/', import.meta.url);

function camelCase(name: string): string {
  return name.replace(/_$/, '').replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

function renamed<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].map(([name, value]) => [camelCase(name), value]));
}

function readCase(file: string) {
  const { tensors, metadata } = readSafetensors(readFileSync(new URL(file, folder)));
  const side = (prefix: string) =>
    renamed(
      [...tensors]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, tensor]): [string, NdArray] => [
          name.slice(prefix.length),
          { shape: tensor.shape, data: tensorValues(tensor) },
        ]),
    );
  return {
    op: metadata.get('op') ?? '',
    options: renamed(Object.entries(JSON.parse(metadata.get('attrs') ?? '{}'))),
    rtol: Number(metadata.get('rtol')),
    atol: Number(metadata.get('atol')),
    inputs: side('in.'),
    outputs: side('out.'),
  };
}

/** Largest |got - want| over what the case allows; 1 or less passes, and NaN is Infinity. */
function shareOfTolerance(got: NdArray, want: NdArray, rtol: number, atol: number): number {
  assert.deepEqual([...got.shape], [...want.shape]);
  const values = Array.from(want.data);
  const allowed = atol + rtol * values.reduce((max, w) => (Number.isFinite(w) ? Math.max(max, Math.abs(w)) : max), 0);
  return values.reduce((worst, w, n) => {
    const g = got.data[n]!;
    const share = g === w ? 0 : Math.abs(g - w) / allowed;
    return Math.max(worst, Number.isNaN(share) ? Number.POSITIVE_INFINITY : share);
  }, 0);
}

const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));

test('there are golden cases of every family', () => {
  assert.deepEqual(new Set(files.map((file) => file.split('--')[0])), new Set(Object.keys(references)));
});

for (const file of files) {
  test(`${file}: the references pass in float64 and in both naive float32 versions`, () => {
    const { op, inputs, options, outputs, rtol, atol } = readCase(file);
    for (const reference of references[op] ?? assert.fail(`no reference for ${op}`)) {
      for (const [precision, round] of Object.entries({ float64, float32, float32Base2 })) {
        const got = reference(inputs, options, round);
        for (const [name, want] of Object.entries(outputs)) {
          const output = got[name] ?? assert.fail(`${reference.name} has no output ${name}`);
          const share = shareOfTolerance(output, want, rtol, atol);
          assert.ok(share <= 1, `${reference.name} in ${precision}: ${name} is off by ${share} of the tolerance`);
        }
      }
    }
  });
}
