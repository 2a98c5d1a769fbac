// Steps keep their layout from call to call: it must follow the tensors, the options and what the tensors hold.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { DisposedError, logLinearAttnStep, OptionError, simpleGlaStep, type Tensor } from '../src/index.ts';
import { variants } from './runtimes.ts';
import { normal, randomFrom } from './samples.ts';

const [rt = assert.fail('no runtime')] = await variants();
after(() => rt.dispose());

const random = randomFrom(82);
const sizes = { q: [2, 1, 8], k: [2, 1, 8], v: [2, 1, 8], g: [2, 1], state: [2, 1, 8, 8], o: [2, 1, 8] };

/** Operands of a step whose state is zero. */
function operands(): Record<keyof typeof sizes, Tensor> {
  const made = Object.entries(sizes).map(([name, shape]) => [name, rt.tensor(normal(random, shape).data, shape)]);
  const inputs = Object.fromEntries(made) as Record<keyof typeof sizes, Tensor>;
  (inputs.state.view() as Float32Array).fill(0);
  return inputs;
}

/** o of one step from a state of zeros, by operands of their own, so that no layout is there. */
function fresh(inputs: Record<string, Tensor>, options?: { scale?: number }): Float32Array {
  const copies = Object.fromEntries(
    Object.entries(inputs).map(([name, x]) => [name, rt.tensor(x.dataSync() as Float32Array, x.shape)]),
  ) as ReturnType<typeof operands>;
  (copies.state.view() as Float32Array).fill(0);
  return simpleGlaStep(copies, options).o.dataSync() as Float32Array;
}

const again = (inputs: ReturnType<typeof operands>, options?: { scale?: number }) => {
  (inputs.state.view() as Float32Array).fill(0);
  return simpleGlaStep(inputs, options).o.dataSync();
};

test('a second step reads what the tensors hold then', () =>
  rt.scope(() => {
    const inputs = operands();
    const first = again(inputs);
    (inputs.q.view() as Float32Array).set(normal(random, sizes.q).data);
    const second = again(inputs);
    assert.deepEqual(second, fresh(inputs));
    assert.notDeepEqual(first, second);
  }));

test('a second step follows its options, also those changed in place', () =>
  rt.scope(() => {
    const inputs = operands();
    const options = { scale: 1 };
    assert.deepEqual(again(inputs, options), fresh(inputs, { scale: 1 }));
    options.scale = 2;
    assert.deepEqual(again(inputs, options), fresh(inputs, { scale: 2 }));
    assert.deepEqual(again(inputs), fresh(inputs));
    assert.throws(() => simpleGlaStep(inputs, { scales: 1 } as object), OptionError);
  }));

test('a second step follows its tensors', () =>
  rt.scope(() => {
    const inputs = operands();
    again(inputs);
    const other = { ...inputs, k: rt.tensor(normal(random, sizes.k).data, sizes.k) };
    assert.deepEqual(again(other), fresh(other));
    const elsewhere = { ...inputs, o: rt.empty(sizes.o) };
    assert.deepEqual(again(elsewhere), fresh(inputs));
    const { o: _, ...none } = inputs;
    assert.notEqual(simpleGlaStep(none).o, inputs.o);
    inputs.q.dispose();
    assert.throws(() => simpleGlaStep(inputs), DisposedError);
  }));

test('a step that looks at what a tensor holds is laid out anew', () =>
  rt.scope(() => {
    const inputs = {
      q: rt.tensor(normal(random, [1, 1, 4]).data, [1, 1, 4]),
      k: rt.tensor(normal(random, [1, 1, 4]).data, [1, 1, 4]),
      v: rt.tensor(normal(random, [1, 1, 4]).data, [1, 1, 4]),
      g: rt.tensor(Float32Array.of(-1), [1, 1]),
      levelScales: rt.tensor(Float32Array.of(1, 1, 1, 1), [1, 1, 4]),
      state: rt.tensor(new Float32Array(64), [1, 1, 4, 4, 4]),
      position: rt.tensor(Int32Array.of(0), [1]),
      o: rt.empty([1, 1, 4]),
    };
    for (let n = 0; n < 5; ++n) {
      logLinearAttnStep(inputs);
      assert.equal(inputs.position.dataSync()[0], n + 1);
    }
  }));
