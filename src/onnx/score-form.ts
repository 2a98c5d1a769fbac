/**
 * What the flash engine can do of a score_mod or prob_mod: scale, softcap, biases, windows and masks, found in the term that the
 * subgraph gives.
 *
 * @module
 */
import { apply, dependsOnScores, scalar, type Term } from './term.ts';

/** Scores as softcap * tanh(scale * x / softcap) + biases over the keys that a window shows; x are the given scores. */
export interface ScoreForm {
  readonly scale: number;
  /** 0: none. */
  readonly softcap: number;
  /** Added; those that hide pairs are -Infinity there. */
  readonly biases: readonly Term[];
  /** Key j is seen from row i where low <= j - i <= high. */
  readonly low: number;
  readonly high: number;
  /** Keys outside have a score so low, though finite, that nothing may be done to it any more. */
  readonly covered: boolean;
}

/** Numbers for all heads, or one for each. */
export type PerHead = Float64Array;

/** i * row + j * key + constant: a term that grows evenly with row i and key j. */
export interface Affine {
  readonly row: PerHead;
  readonly key: PerHead;
  readonly constant: PerHead;
}

const ZERO: PerHead = Float64Array.of(0);
const ALL = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
/** A finite score as low as this is no score of products: beside any other its weight is zero. */
const HIDDEN = -1e30;

/** The one number of a term, if it is such a constant. */
export function numberOf(term: Term): number | undefined {
  return term.kind === 'constant' && term.data.length === 1 ? term.data[0] : undefined;
}

/** The number for each head of a term that is the same for all else. */
export function perHead(term: Term): PerHead | undefined {
  if (term.kind !== 'constant') return undefined;
  const head = term.shape.length - 3;
  return term.shape.every((n, axis) => n === 1 || axis === head) ? term.data : undefined;
}

function zipped(x: PerHead, y: PerHead, compute: (x: number, y: number) => number): PerHead {
  const length = Math.max(x.length, y.length);
  return Float64Array.from({ length }, (_, h) => compute(x[h % x.length]!, y[h % y.length]!));
}

const isZero = (x: PerHead) => x.every((value) => value === 0);

/** A term as i * row + j * key + constant, if that is what it is. */
export function affineOf(term: Term): Affine | undefined {
  if (term.kind === 'scores') return undefined;
  if (term.kind === 'constant') {
    const constant = perHead(term);
    if (constant) return { row: ZERO, key: ZERO, constant };
    const along = term.shape.findIndex((n) => n > 1) - term.shape.length;
    const { data } = term;
    if (along < -2 || term.shape.at(along) !== data.length) return undefined;
    const [first, step] = [data[0]!, data[1]! - data[0]!];
    if (!data.every((value, n) => value === first + n * step)) return undefined;
    const slope = Float64Array.of(step);
    return { row: along === -2 ? slope : ZERO, key: along === -1 ? slope : ZERO, constant: Float64Array.of(first) };
  }
  const [x, y] = term.operands.map(affineOf);
  const both = (compute: (x: number, y: number) => number): Affine | undefined =>
    x &&
    y && {
      row: zipped(x.row, y.row, compute),
      key: zipped(x.key, y.key, compute),
      constant: zipped(x.constant, y.constant, compute),
    };
  const times = (affine: Affine, factor: PerHead, compute: (x: number, y: number) => number): Affine => ({
    row: zipped(affine.row, factor, compute),
    key: zipped(affine.key, factor, compute),
    constant: zipped(affine.constant, factor, compute),
  });
  const fixed = (affine: Affine) => isZero(affine.row) && isZero(affine.key);
  switch (term.operation) {
    case 'add':
      return both((a, b) => a + b);
    case 'sub':
      return both((a, b) => a - b);
    case 'neg':
      return x && times(x, Float64Array.of(-1), (a, b) => a * b);
    case 'mul':
      if (!x || !y) return undefined;
      if (fixed(y)) return times(x, y.constant, (a, b) => a * b);
      return fixed(x) ? times(y, x.constant, (a, b) => a * b) : undefined;
    case 'div':
      return x && y && fixed(y) && term.type === 'float' ? times(x, y.constant, (a, b) => a / b) : undefined;
    case 'trunc':
      return x && [x.row, x.key, x.constant].every((part) => part.every(Number.isInteger)) ? x : undefined;
    default:
      return undefined;
  }
}

/** Bounds of j - i under which a condition holds, if it says nothing else. */
export function windowOf(condition: Term): { low: number; high: number } | undefined {
  if (condition.kind !== 'apply') return undefined;
  const { operation, operands } = condition;
  if (operation === 'mul') {
    const [a, b] = operands.map(windowOf);
    return a && b && { low: Math.max(a.low, b.low), high: Math.min(a.high, b.high) };
  }
  if (operation === 'not') {
    const turned = negated(operands[0]!);
    return turned && windowOf(turned);
  }
  const strict = operation === 'greater' || operation === 'less';
  const rising = operation === 'greater' || operation === 'greaterOrEqual';
  if (!strict && !rising && operation !== 'lessOrEqual') return undefined;
  const difference = affineOf(apply('sub', 'float', operands[0]!, operands[1]!)!);
  if (!difference || [difference.row, difference.key, difference.constant].some((part) => part.length > 1)) {
    return undefined;
  }
  const sign = rising ? 1 : -1;
  const [row, key, constant] = [difference.row[0]! * sign, difference.key[0]! * sign, difference.constant[0]! * sign];
  // key * (j - i) + constant >= 0, or > 0
  if (row !== -key || key === 0) return undefined;
  // no negative zero
  const bound = 0 - constant / key;
  if (key > 0) return { low: strict ? Math.floor(bound) + 1 : Math.ceil(bound), high: ALL.high };
  return { low: ALL.low, high: strict ? Math.ceil(bound) - 1 : Math.floor(bound) };
}

const OPPOSITE = {
  greater: 'lessOrEqual',
  greaterOrEqual: 'less',
  less: 'greaterOrEqual',
  lessOrEqual: 'greater',
} as const;

/** A comparison, or a condition negated before, the other way round. */
function negated(condition: Term): Term | undefined {
  if (condition.kind !== 'apply') return undefined;
  if (condition.operation === 'not') return condition.operands[0];
  const operation = OPPOSITE[condition.operation as keyof typeof OPPOSITE];
  return operation && { ...condition, operation };
}

/** Whether every row of [rows, keys] sees a key. */
function seesAll({ low, high }: { low: number; high: number }, rows: number, keys: number): boolean {
  // the span of row i begins at i + low and ends at i + high: the first and last row tell of all
  return low <= high && rows - 1 + low < keys && high >= 0 && keys > 0;
}

/** The scores that a condition leaves: `form` where it holds. Undefined if that cannot be said by windows and biases. */
function masked(form: ScoreForm, condition: Term, hidden: number, shape: readonly number[]): ScoreForm | undefined {
  if (dependsOnScores(condition) || form.covered) return undefined;
  const covered = hidden !== Number.NEGATIVE_INFINITY;
  const window = windowOf(condition);
  if (window) {
    const next = { ...form, covered, low: Math.max(form.low, window.low), high: Math.min(form.high, window.high) };
    const open = form.biases.length === 0 && seesAll(next, shape.at(-2)!, shape.at(-1)!);
    return !covered || (hidden <= HIDDEN && open) ? next : undefined;
  }
  if (covered) return undefined;
  const bias = apply('where', 'float', condition, scalar('float', 0), scalar('float', hidden));
  return bias && { ...form, biases: [...form.biases, bias] };
}

/** Scores times a number. */
function multiplied(form: ScoreForm, factor: number): ScoreForm | undefined {
  const hides = form.biases.length > 0 || form.low > ALL.low || form.high < ALL.high;
  // a factor of another sign would turn what is hidden into what is seen alone
  if (form.covered || !Number.isFinite(factor) || ((hides || form.softcap !== 0) && factor <= 0)) return undefined;
  const biases = form.biases.map((bias) => apply('mul', 'float', bias, scalar('float', factor))!);
  return { ...form, scale: form.scale * factor, softcap: form.softcap * factor, biases };
}

/**
 * What a score_mod's term does, if the flash engine can do it.
 *
 * @param shape of the scores, [B, H, Tq, Tk]
 */
export function scoreForm(term: Term, shape: readonly number[]): ScoreForm | undefined {
  if (term.kind === 'scores') return { scale: 1, softcap: 0, biases: [], ...ALL, covered: false };
  if (term.kind === 'constant') return undefined;
  const [x, y, z] = term.operands;
  const form = (part: Term | undefined) => (part && dependsOnScores(part) ? scoreForm(part, shape) : undefined);
  switch (term.operation) {
    case 'tanh': {
      const inner = form(x);
      const bare = inner && inner.softcap === 0 && inner.biases.length === 0;
      return bare && inner.low === ALL.low && inner.high === ALL.high ? { ...inner, softcap: 1 } : undefined;
    }
    case 'mul': {
      const [inner, factor] = [form(x) ?? form(y), numberOf(x!) ?? numberOf(y!)];
      return inner && factor !== undefined ? multiplied(inner, factor) : undefined;
    }
    case 'div': {
      const [inner, divisor] = [form(x), numberOf(y!)];
      return inner && divisor !== undefined ? multiplied(inner, 1 / divisor) : undefined;
    }
    case 'add':
    case 'sub': {
      const first = form(x);
      const inner = first ?? (term.operation === 'add' ? form(y) : undefined);
      const added = first ? y! : x!;
      if (!inner || inner.covered || dependsOnScores(added)) return undefined;
      const bias = term.operation === 'add' ? added : apply('neg', 'float', added)!;
      return { ...inner, biases: [...inner.biases, bias] };
    }
    case 'where': {
      const [shown, hidden] = [form(y), numberOf(z!)];
      if (shown && hidden !== undefined) return masked(shown, x!, hidden, shape);
      const [other, cover] = [form(z), numberOf(y!)];
      if (!other || cover === undefined) return undefined;
      return masked(other, negated(x!) ?? apply('not', 'bool', x!)!, cover, shape);
    }
    default:
      return undefined;
  }
}

/** What a prob_mod multiplies all weights of a head by, if that is all it does. */
export function probFactor(term: Term): PerHead | undefined {
  if (term.kind === 'scores') return Float64Array.of(1);
  if (term.kind === 'constant') return undefined;
  const [x, y] = term.operands as [Term, Term?];
  const inner = dependsOnScores(x) ? probFactor(x) : y && dependsOnScores(y) ? probFactor(y) : undefined;
  const factor = y && perHead(dependsOnScores(x) ? y : x);
  if (!inner || !factor?.every(Number.isFinite)) return undefined;
  if (term.operation === 'mul') return zipped(inner, factor, (a, b) => a * b);
  return term.operation === 'div' && dependsOnScores(x) ? zipped(inner, factor, (a, b) => a / b) : undefined;
}
