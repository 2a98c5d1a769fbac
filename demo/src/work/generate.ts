/**
 * Texts continued by a language model, with any attention in its layers that attend.
 *
 * @module
 */
import type { Runtime } from 'wattn';
import {
  ATTENTION_METHODS,
  type AttentionMethod,
  describePlan,
  LanguageModel,
  loadPlan,
  type MethodFamily,
  type Plan,
} from 'wattn/lm';
import { bytesOf, continueText } from '../../../examples/continue-text.ts';
import { sampler } from '../../../examples/sample.ts';
import type { AttentionCard, AttentionChoice, GenerationOrder, GenerationResult, Progress } from '../messages.ts';

const FAMILIES: Readonly<Record<MethodFamily, string>> = {
  dense: 'All keys',
  storage: 'All keys, in fewer bytes',
  kept: 'Some keys are kept or read',
  seen: 'Some keys are seen',
  rounded: 'Rounded products',
};

function noteOf({ prompts, tokens, anyParts }: AttentionMethod): string {
  if (!tokens) return 'It bears on the prompt, which is fed at once; bytes behind it see all keys.';
  if (!prompts) return 'It bears on the bytes behind the prompt; the prompt itself, fed at once, sees all keys.';
  return anyParts ? '' : 'How much of the text is fed at once makes a difference to it.';
}

/** What may attend. */
export function attentionCards(): AttentionCard[] {
  return ATTENTION_METHODS.map((method) => {
    const { name, family, budgeted } = method;
    return { name, family: FAMILIES[family], budgeted, note: noteOf(method) };
  });
}

function planOf(network: LanguageModel, { method, plan }: AttentionChoice): Plan | string {
  const { attentionLayers, config } = network;
  if (plan !== undefined) return plan;
  if (method && attentionLayers.length === 0) {
    throw new Error(`no layer of ${config.name} attends: there is no place for ${method.name}`);
  }
  const { name = '', budget = 0 } = method ?? {};
  const layers = method ? attentionLayers.map((layer) => ({ layer, method: name, budget })) : [];
  return { model: config.name, layers };
}

/** Continues a text; `turn` is awaited before each byte and told how far it is. */
export async function generateText(
  rt: Runtime,
  { model, attention, prompt, bytes, temperature, seed }: GenerationOrder,
  tell: (text: string) => void,
  turn: (progress: Progress) => Promise<void>,
): Promise<GenerationResult> {
  const pick = sampler(temperature, seed);
  const tokens = bytesOf(prompt);
  if (!(Number.isSafeInteger(bytes) && bytes > 0)) throw new RangeError(`${bytes} bytes, expected 1, 2, 3 or so on`);
  await turn({ done: 0, total: bytes, label: 'reading the model' });
  // Safari has no `using` yet
  const network = LanguageModel.read(rt, new Uint8Array(await model.arrayBuffer()));
  try {
    const { config } = network;
    const plan = planOf(network, attention);
    const sequence = network.open({ capacity: tokens.length + bytes, ...loadPlan(network, plan) });
    try {
      // of each call alone: other jobs may have a turn in between
      const times: number[] = [];
      const generated = await continueText({
        prompt: tokens,
        most: bytes,
        async feed(fed) {
          const done = times.length;
          await turn({ done, total: bytes, label: done === 0 ? 'the prompt' : `${done} of ${bytes} bytes` });
          const start = performance.now();
          const logits = await network.forward(fed, sequence);
          times.push(performance.now() - start);
          return logits;
        },
        pick,
        emit: tell,
      });
      const [first = 0, ...rest] = times;
      return {
        model: `${config.name}, ${config.layers} layers of ${config.dim}`,
        attends: describePlan(network, typeof plan === 'string' ? JSON.parse(plan) : plan),
        prefill: { ...generated.prefill, ms: first },
        decode: { ...generated.decode, ms: rest.reduce((sum, ms) => sum + ms, 0) },
        memory: sequence.bytes,
        threads: rt.threads,
      };
    } finally {
      sequence.dispose();
    }
  } finally {
    network.dispose();
  }
}
