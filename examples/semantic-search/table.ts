import Table from 'cli-table3';
import type { Method } from './methods.ts';
import { cosine, type Hit } from './search.ts';

/** What one method gave: embeddings, the searches' hits and the K/V bytes that it read. */
export interface Outcome {
  readonly method: Method;
  readonly embeddings: readonly Float32Array[];
  readonly hits: readonly (readonly Hit[])[];
  readonly kvBytes: number;
}

/** Formats the methods as a table, each compared to the first; `times` are milliseconds in attention, one per method. */
export function methodTable(outcomes: readonly Outcome[], times: readonly number[]): string {
  const [dense] = outcomes;
  if (dense === undefined) throw new Error('methodTable needs at least one outcome.');
  const table = new Table({
    head: ['attention', 'cosine mean', 'cosine worst', 'same hits', 'time ms', 'K/V read kB', 'what it is'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const [index, { method, embeddings, hits, kvBytes }] of outcomes.entries()) {
    const cosines = embeddings.map((embedding, sentence) => cosine(embedding, dense.embeddings[sentence]!));
    const mean = cosines.reduce((a, b) => a + b, 0) / cosines.length;
    table.push([
      method.name,
      mean.toFixed(5),
      cosines.reduce((a, b) => Math.min(a, b)).toFixed(5),
      sameHits(hits, dense.hits),
      times[index]!.toFixed(1),
      (kvBytes / 1e3).toFixed(0),
      method.doc,
    ]);
  }
  return table.toString();
}

function sameHits(hits: Outcome['hits'], expected: Outcome['hits']): string {
  let same = 0;
  let all = 0;
  for (const [query, list] of expected.entries())
    for (const { index } of list) {
      all++;
      if (hits[query]!.some((hit) => hit.index === index)) same++;
    }
  return `${same}/${all}`;
}
