import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bytesOf, continueText } from '../examples/continue-text.ts';
import { readModelFile } from '../examples/generate/model-file.ts';
import { greedy, type Sampler, sampler } from '../examples/sample.ts';
import { LanguageModel, loadPlan, type Plan, type SequenceOptions } from '../src/lm/index.ts';
import { runExample } from './example-models.ts';
import { variants } from './runtimes.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'wattn-generate-'));
/** The small random models of tests/lm, with the zoo's text. */
symlinkSync(here('lm/models'), join(folder, 'models'));
symlinkSync(here('../zoo/text'), join(folder, 'text'));

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
  rmSync(folder, { recursive: true });
});

const names = readdirSync(here('lm/models'))
  .filter((file) => file.endsWith('.logits.safetensors'))
  .map((file) => file.replace('.logits.safetensors', ''));

const PROMPT = 'Ein Flüstern, “the house”';

/** Bytes and text of a continuation, with the prompt fed in parts of these sizes, from the first again behind the last. */
async function continued(
  model: LanguageModel,
  pick: Sampler,
  { parts = [1000], attention }: { parts?: readonly number[]; attention?: SequenceOptions['attention'] } = {},
): Promise<{ tokens: readonly number[]; text: string; bytes: number }> {
  const prompt = bytesOf(PROMPT);
  const most = 24;
  using sequence = model.open({ capacity: prompt.length + most, ...(attention && { attention }) });
  let text = '';
  const { tokens } = await continueText({
    prompt,
    most,
    pick,
    async feed(fed) {
      let logits: Float32Array | undefined;
      for (let at = 0, n = 0; at < fed.length; ++n) {
        const end = at + parts[n % parts.length]!;
        logits = await model.forward(fed.slice(at, end), sequence);
        at = end;
      }
      return logits!;
    },
    emit(piece) {
      text += piece;
    },
  });
  return { tokens, text, bytes: sequence.bytes };
}

for (const name of names) {
  it(`${name}: the text is the same however the prompt is fed`, async () => {
    for (const rt of runtimes) {
      using model = LanguageModel.read(rt, readFileSync(here(`lm/models/${name}.safetensors`)));
      // what random weights find likeliest is often one byte again and again, so a drawn text as well
      for (const pick of [() => greedy, () => sampler(1, 2)]) {
        const whole = await continued(model, pick());
        assert.equal(whole.tokens.length, 24);
        for (const parts of [[1], [3, 1, 17]]) assert.deepEqual(await continued(model, pick(), { parts }), whole);
      }
    }
  });
}

describe('a text', () => {
  it('has whole characters, whatever the bytes are', async () => {
    const bytes = [...new TextEncoder().encode('aé“𝄞'), 0xe2, 0x80];
    let next = 0;
    const pieces: string[] = [];
    const generated = await continueText({
      prompt: [0],
      most: bytes.length,
      feed: () => new Float32Array(),
      pick: () => bytes[next++]!,
      emit: (text) => pieces.push(text),
    });
    assert.deepEqual(generated.tokens, bytes);
    assert.deepEqual(
      pieces.filter((piece) => piece !== ''),
      ['a', 'é', '“', '𝄞', '�'],
    );
  });

  it('depends on the seed where it is drawn, and begins with a prompt', async () => {
    using model = LanguageModel.read(runtimes[0]!, readFileSync(here('lm/models/attention.safetensors')));
    const drawn = async (seed: number) => (await continued(model, sampler(1, seed))).tokens;
    assert.deepEqual(await drawn(5), await drawn(5));
    assert.notDeepEqual(await drawn(5), await drawn(6));
    assert.throws(() => bytesOf(''), /the prompt is empty/);
  });

  it('comes from the attention of a plan', async () => {
    using model = LanguageModel.read(runtimes[0]!, readFileSync(here('lm/models/attention.safetensors')));
    const planned = (method: string): Plan => ({
      model: 'attention',
      layers: model.attentionLayers.map((layer) => ({ layer, method, budget: 16 })),
    });
    const drawn = (attend: Pick<SequenceOptions, 'attention'> = {}) => continued(model, sampler(1, 2), attend);
    const own = await drawn();
    assert.deepEqual(await drawn(loadPlan(model, planned('dense'))), own);
    const codes = await drawn(loadPlan(model, planned('int8')));
    assert.ok(codes.bytes < own.bytes / 2, `${codes.bytes} bytes of codes, ${own.bytes} of floats`);
    const few = await drawn(loadPlan(model, planned('window')));
    assert.notDeepEqual(few.tokens, own.tokens);
  });
});

describe('the generate command', () => {
  const run = (...args: string[]) => runExample('generate', ...args);

  it('prints the same text for the same seed, and reports speeds and memory', async () => {
    const drawn = ['--zoo', folder, '--prompt', 'bad', '--tokens', '9', '--temperature', '1', '--seed', '4'];
    const [first, second] = await Promise.all([run(...drawn), run(...drawn)]);
    assert.match(first.stdout, /^bad[\s\S]{1,9}\n$/);
    assert.equal(first.stdout, second.stdout);
    assert.match(first.stderr, /attention\.safetensors: attention, 4 layers of 48; wattn: [a-z]+, 1 threads/);
    assert.match(first.stderr, /prefill │ +3 │[\s\S]*decode +│ +8 │/);
    assert.match(first.stderr, /\d+ bytes of caches and states/);
    assert.doesNotMatch(first.stderr, /attends/);
  });

  it('takes a file and a plan, and says what attends', async () => {
    const plan = join(folder, 'plan.json');
    const layers = [{ layer: 1, method: 'tova', budget: 16 }];
    writeFileSync(plan, JSON.stringify({ model: 'attention', layers }));
    const file = here('lm/models/attention.safetensors');
    const { stdout, stderr } = await run('--file', file, '--plan', plan, '--tokens', '4');
    assert.match(stdout, /^Once upon a time[\s\S]{1,4}\n$/);
    assert.match(stderr, /^attends: 0 its own attention, 1 tova 16, 2-3 its own attention$/m);
    await assert.rejects(run('gla', '--zoo', folder, '--plan', plan), {
      code: 1,
      stderr: "error: the plan is for the model 'attention', not for 'gla'\n",
    });
  });

  it('says in a line what is not there', async () => {
    await assert.rejects(run('--prompt', ''), {
      code: 1,
      stderr: 'error: the prompt is empty, expected at least one character\n',
    });
    await assert.rejects(
      readModelFile({ name: 'mamba9', zoo: folder }),
      /has no model 'mamba9', expected one of attention, gated-deltanet, /,
    );
    const nothing = join(folder, 'text');
    await assert.rejects(readModelFile({ name: 'gla', zoo: nothing }), /has no models.*--zoo takes .*--file a model/);
    await assert.rejects(readModelFile({ name: 'gla', file: join(folder, 'no.safetensors') }), /ENOENT/);
    const { path, bytes } = await readModelFile({ name: 'gla', zoo: folder });
    assert.deepEqual([path, bytes.length > 0], [join(folder, 'models', 'gla.safetensors'), true]);
  });
});
