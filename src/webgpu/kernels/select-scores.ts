/**
 * Maps of scores: packed keys, products by tiles, softmax and sums of their rows.
 *
 * @module
 */
import {
  InterleavedPackParams,
  ReduceMapParams,
  ScoreFewParams,
  ScoreMapParams,
  ScorePackParams,
  SoftmaxMapParams,
  WeightSumsParams,
} from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf, type Pass } from '../kernel.ts';
import { FLOAT_BYTES, lanesFor, THREADS, TILE_COLUMNS, tilesOf } from './select-tiles.ts';

/** Floats of scores that are there at a time. */
const SLAB = 2 ** 23;
/** Columns of a workgroup that scores few queries. */
const FEW_COLUMNS = 32;

export const selectScores = {
  scorePack: gpuKernel(ScorePackParams, (p, { items }) => [
    {
      shader: 'score-pack',
      groups: groupsOf(items * 2 * p.d, THREADS),
      extra: { quads: items * 2 * p.d },
      memory: 'wide',
    },
  ]),
  interleavedPack: gpuKernel(InterleavedPackParams, (p, { items }) => {
    const quads = items * 2 * p.d * p.interleave;
    return [{ shader: 'interleaved-pack', groups: groupsOf(quads, THREADS), extra: { quads }, memory: 'wide' }];
  }),
  scoreMap: gpuKernel(ScoreMapParams, (p, { items }) => [
    scores('score-map', p, items / Math.ceil(p.rows / p.blockRows)),
  ]),
  indexMap: gpuKernel(ScoreMapParams, (p, { items }) => [
    scores('index-map', p, items / Math.ceil(p.rows / p.blockRows)),
  ]),
  scoreFew: gpuKernel(ScoreFewParams, (p, { items }) => {
    const lists = items / Math.ceil(p.columns / p.blockColumns);
    const spans = Math.ceil(p.columns / FEW_COLUMNS);
    const rows = p.rows * p.group;
    return [
      {
        shader: 'score-few',
        groups: lists * spans,
        constants: { ROWS: rows === 1 ? 1 : rows <= 4 ? 4 : 8, Q_TYPE: p.qType, K_TYPE: p.kType },
        extra: { spans },
      },
    ];
  }),
  softmaxMap: gpuKernel(SoftmaxMapParams, (p, { items }) => {
    const LANES = lanesFor(p.columns);
    return [
      {
        shader: 'softmax-map',
        groups: groupsOf(items, THREADS / LANES),
        constants: { LANES },
        extra: { rowCount: items },
      },
    ];
  }),
  reduceMap: gpuKernel(ReduceMapParams, (p, { items }) => {
    const outs = items * p.outColumns;
    const cells = p.groupRows * p.groupColumns;
    // one thread each reads neighbours of neighbours, unless there are few of them with much to read
    const LANES = cells < 8 || (p.groupColumns === 1 && outs >= 4096) ? 1 : lanesFor(cells);
    return [{ shader: 'reduce-map', groups: groupsOf(outs, THREADS / LANES), constants: { LANES }, extra: { outs } }];
  }),
  weightSums: gpuKernel(WeightSumsParams, (p, { items, scratch }) => {
    const groups = Math.ceil(p.rows / p.rowGroup);
    const lists = items / Math.ceil(groups / p.itemGroups);
    const rowsAtOnce = Math.max(1, Math.min(p.rows, Math.floor(SLAB / p.columns)));
    const listsAtOnce = Math.max(1, Math.min(lists, Math.floor(SLAB / (p.columns * rowsAtOnce))));
    const space = scratch(FLOAT_BYTES * listsAtOnce * rowsAtOnce * p.columns);
    const columnTiles = Math.ceil(p.columns / TILE_COLUMNS);
    const passes: Pass[] = [];
    for (let firstList = 0; firstList < lists; firstList += listsAtOnce) {
      const some = Math.min(listsAtOnce, lists - firstList);
      for (let firstRow = 0; firstRow < p.rows; firstRow += rowsAtOnce) {
        const rowCount = Math.min(rowsAtOnce, p.rows - firstRow);
        const { ROWS, rowTiles } = tilesOf(rowCount, some * columnTiles);
        const LANES = lanesFor(p.columns);
        const lines = some * rowCount;
        const firstGroup = Math.floor(firstRow / p.rowGroup);
        const groupCount = Math.ceil((firstRow + rowCount) / p.rowGroup) - firstGroup;
        const slab = { space, firstList, firstRow, rowCount, firstGroup, groupCount };
        const totals = (DIAGONALS: boolean, width: number): Pass => {
          const outs = some * groupCount * width;
          const extra = { ...slab, outs };
          return { shader: 'weight-totals', groups: groupsOf(outs, THREADS), constants: { DIAGONALS }, extra };
        };
        passes.push(
          {
            shader: 'weight-scores',
            groups: some * rowTiles * columnTiles,
            constants: { ROWS, Q_TYPE: p.qType },
            extra: { space, firstList, firstRow, rowCount, rowTiles, columnTiles },
          },
          {
            shader: 'weight-rows',
            groups: groupsOf(lines, THREADS / LANES),
            constants: { LANES },
            extra: { space, firstRow, rowCount, lines },
          },
          totals(false, Math.ceil(p.columns / p.columnGroup)),
        );
        if (p.diagonalSums !== 0) passes.push(totals(true, p.columns));
      }
    }
    return passes;
  }),
};

/** The pass of all products of a map. */
function scores(
  shader: 'score-map' | 'index-map',
  { rows, columns, qType }: { rows: number; columns: number; qType: number },
  lists: number,
): Pass {
  const columnTiles = Math.ceil(columns / TILE_COLUMNS);
  const { ROWS, rowTiles } = tilesOf(rows, lists * columnTiles);
  return {
    shader,
    groups: lists * rowTiles * columnTiles,
    constants: { ROWS, Q_TYPE: qType },
    extra: { rowTiles, columnTiles },
  };
}
