import { exp, logitFactor, type Round } from './ndarray.ts';

/** A complex number: real and imaginary part. */
export type Complex = readonly [number, number];

export function add(a: Complex, b: Complex, round: Round): Complex {
  return [round(a[0] + b[0]), round(a[1] + b[1])];
}

export function sub(a: Complex, b: Complex, round: Round): Complex {
  return [round(a[0] - b[0]), round(a[1] - b[1])];
}

export function mul(a: Complex, b: Complex, round: Round): Complex {
  return [round(round(a[0] * b[0]) - round(a[1] * b[1])), round(round(a[0] * b[1]) + round(a[1] * b[0]))];
}

export function scale(a: Complex, factor: number, round: Round): Complex {
  return [round(a[0] * factor), round(a[1] * factor)];
}

export function conj(a: Complex): Complex {
  return [a[0], -a[1]];
}

/** a / b, with `eps` added to |b|^2. */
export function div(a: Complex, b: Complex, round: Round, eps = 0): Complex {
  const size = round(round(round(b[0] * b[0]) + round(b[1] * b[1])) + eps);
  const [re, im] = mul(a, conj(b), round);
  return [round(re / size), round(im / size)];
}

/** e^z. */
export function expComplex([re, im]: Complex, round: Round): Complex {
  const size = exp(round(re * logitFactor(round)), round);
  return [round(size * round(Math.cos(im))), round(size * round(Math.sin(im)))];
}

/** A square complex matrix, row by row. */
export type Matrix = Complex[][];

/** The solution of a x = b by elimination with row exchanges; b and x may have several columns. */
export function solve(a: Matrix, b: Matrix, round: Round): Matrix {
  const n = a.length;
  const rows = a.map((row, i) => [...row, ...b[i]!]);
  const size = ([re, im]: Complex) => Math.hypot(re, im);
  for (let i = 0; i < n; i++) {
    let best = i;
    for (let r = i + 1; r < n; r++) if (size(rows[r]![i]!) > size(rows[best]![i]!)) best = r;
    [rows[i], rows[best]] = [rows[best]!, rows[i]!];
    const pivot = rows[i]!;
    for (let r = 0; r < n; r++) {
      if (r === i) continue;
      const factor = div(rows[r]![i]!, pivot[i]!, round);
      for (let c = i; c < pivot.length; c++) rows[r]![c] = sub(rows[r]![c]!, mul(factor, pivot[c]!, round), round);
    }
  }
  return rows.map((row, i) => row.slice(n).map((x) => div(x, row[i]!, round)));
}

/** A matrix times a vector. */
export function apply(a: Matrix, x: readonly Complex[], round: Round): Complex[] {
  return a.map((row) => row.reduce<Complex>((sum, y, i) => add(sum, mul(y, x[i]!, round), round), [0, 0]));
}
