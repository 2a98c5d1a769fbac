import {
  architecture,
  type DenseWeights,
  type EncoderWeights,
  type LayerWeights,
  type NormWeights,
} from '../../examples/semantic-search/weights.ts';

type Rows = Float64Array[];

/** Embeds one sentence with Universal Sentence Encoder lite in float64, dense attention: token ids to a unit vector of 512. */
export function useLite(weights: EncoderWeights, ids: readonly number[]): Float64Array {
  let x = inputs(weights, ids.slice(0, architecture.maxTokens));
  for (const layer of weights.layers) x = transformerLayer(layer, x);
  const pooled = new Float64Array(512);
  for (const row of x) for (let c = 0; c < 512; c++) pooled[c]! += row[c]! / x.length;
  const [projected] = dense(weights.projection, [pooled]);
  const embedding = projected!.map(Math.tanh);
  const norm = Math.sqrt(embedding.reduce((sum, value) => sum + value * value, 0));
  return embedding.map((value) => value / norm);
}

/** Token embedding plus (token embedding plus position): the graph adds the timing signal to a copy and then adds the two. */
function inputs({ embedding, frequencies }: EncoderWeights, ids: readonly number[]): Rows {
  return ids.map((id, position) =>
    Float64Array.from({ length: 256 }, (_, c) => {
      // float32 as in the graph: the product's rounding is what sin and cos see.
      const angle = Math.fround(position * frequencies.data[c % 128]!);
      return 2 * embedding.data[id * 256 + c]! + (c < 128 ? Math.sin(angle) : Math.cos(angle));
    }),
  );
}

function transformerLayer(layer: LayerWeights, x: Rows): Rows {
  const residual = layer.residual === undefined ? x : dense(layer.residual, x);
  const qkv = dense(layer.qkv, norm(layer.attentionNorm, x));
  const attended = sum(residual, dense(layer.output, attend(qkv)));
  const hidden = dense(layer.expand, norm(layer.feedForwardNorm, attended)).map((row) =>
    row.map((value) => Math.max(0, value)),
  );
  return sum(attended, dense(layer.contract, hidden));
}

/** Softmax attention of every row over every row; qkv rows are [3, heads, D]. */
function attend(qkv: Rows): Rows {
  const width = qkv[0]!.length / 3;
  const size = width / architecture.heads;
  return qkv.map((row) => {
    const o = new Float64Array(width);
    for (let begin = 0; begin < width; begin += size) {
      const scores = qkv.map((other) => {
        let dot = 0;
        for (let c = begin; c < begin + size; c++) dot += row[c]! * other[width + c]!;
        return dot / Math.sqrt(size);
      });
      const max = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - max));
      const total = weights.reduce((a, b) => a + b, 0);
      for (let c = begin; c < begin + size; c++)
        for (let j = 0; j < qkv.length; j++) o[c]! += (weights[j]! / total) * qkv[j]![2 * width + c]!;
    }
    return o;
  });
}

function dense({ kernel, bias }: DenseWeights, x: Rows): Rows {
  const [, output] = kernel.shape as [number, number];
  return x.map((row) => {
    const o = Float64Array.from(bias.data);
    for (let i = 0; i < row.length; i++)
      for (let c = 0; c < output; c++) o[c]! += row[i]! * kernel.data[i * output + c]!;
    return o;
  });
}

function norm({ scale, bias }: NormWeights, x: Rows): Rows {
  return x.map((row) => {
    const mean = row.reduce((a, b) => a + b, 0) / row.length;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / row.length;
    return row.map(
      (value, c) => ((value - mean) / Math.sqrt(variance + architecture.normEps)) * scale.data[c]! + bias.data[c]!,
    );
  });
}

function sum(a: Rows, b: Rows): Rows {
  return a.map((row, t) => row.map((value, c) => value + b[t]![c]!));
}
