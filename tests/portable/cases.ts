/**
 * The golden cases that are replayed everywhere.
 *
 * @module
 */
import { join } from 'node:path';
import { ROOT } from './package.ts';

/** A spread over every engine; each is small, together they take about a second. */
export const GOLDEN_CASES: readonly { name: string; path: string }[] = [
  // dense attention: masks, lengths, scores
  'attention--full-a',
  'attention--causal-b',
  'attention--window-a',
  'attention--window_bidir-b',
  'attention--bias-a',
  'attention--mask-b',
  'attention--alibi-a',
  'attention--kvlen_causal-b',
  'attention--varlen-b',
  'attention--gpt_oss_sinks-a',
  'attention--gemma2_softcap-b',
  'attention--decode-a',
  'attention--peaked-a',
  'attention--masked_huge_window-a',
  'differential_attention--causal-a',
  'forgetting_attn--window-b',
  'parallax--causal-a',
  'path_attn--plain-a',
  'rope--half-b',
  // caches: pages, latents, slots
  'paged_attention--decode-a',
  'mla--causal-b',
  'h2o--decode-a',
  'snapkv--prefill-a',
  // sparse attention by places and by choice
  'strided_attention--causal-a',
  'streaming_llm--sink-a',
  'swin_attention--shift2-a',
  'longformer--hf-b',
  'moba--plain-a',
  'dsa--plain-a',
  'quest--decode-a',
  'top_k_attention--decode-b',
  'top_p_attention--decode-a',
  'lsh_attention--causal-b',
  'routing_attention--full-b',
  'nystrom_attention--conv-a',
  // linear attention and its kin
  'linear_attn--elu_normalized-a',
  'retention--state-a',
  'gla--strong-a',
  'ssd--plain-a',
  'mlstm--plain-a',
  'rwkv6--plain-a',
  'log_linear_attn--plain-b',
  'performer--causal-a',
  // delta rules
  'delta_rule--plain-a',
  'gated_delta_rule--qk_l2norm-a',
  'gated_delta_product--plain-a',
  'kda--strong-a',
  'rwkv7--plain-a',
  'deltaformer--plain-a',
  // memories that learn
  'ttt_linear--plain-a',
  'titans_linear--plain-a',
  'mesa_net--exact-a',
  // channels that do not mix
  'selective_scan--full-a',
  'rg_lru--plain-a',
  'hgrn--plain-a',
  'rwkv4--plain-a',
  's4d--zoh-a',
].map(golden);

function golden(name: string): { name: string; path: string } {
  return { name, path: join(ROOT, 'tests/vectors', `${name}.safetensors`) };
}

/** Those that `npm test` replays on WebGPU, where a software driver takes seconds to compile a kernel. */
export const QUICK_GPU_CASES: readonly { name: string; path: string }[] = [
  'attention--causal-b',
  'paged_attention--decode-a',
  'rope--half-b',
  'gated_delta_rule--qk_l2norm-a',
].map(golden);
