import { exp, log, logitFactor, type Round } from './ndarray.ts';

/** ln(1 + e^x), as x + ln(1 + e^-x) where x is positive. */
export function softplus(x: number, round: Round): number {
  const base = logitFactor(round);
  const rest = round(log(round(1 + exp(round(-Math.abs(x) * base), round)), round) / base);
  return round(Math.max(x, 0) + rest);
}
