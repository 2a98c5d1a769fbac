import { exp64 } from './exp64';

/** 2 / sqrt(pi) */
const SCALE: f64 = 1.1283791670955126;

/** The error function to about 1e-15: its series, whose terms are all positive in this form, or 1 where no f64 tells it from 1. */
export function erf64(x: f64): f64 {
  const size = abs(x);
  if (size != size) return x;
  if (size > 6) return x > 0 ? 1 : -1;
  // 2/sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (1 3 5 ... (2n+1))
  const square = x * x;
  let term: f64 = size;
  let sum: f64 = term;
  for (let n: f64 = 3; term > sum * 1e-17; n += 2) {
    term *= (2 * square) / n;
    sum += term;
  }
  const value = SCALE * exp64(-square) * sum;
  return x > 0 ? value : -value;
}
