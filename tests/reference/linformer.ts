import { attention } from './attention.ts';
import { dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Rows [B,K,H,D] = matrix [K,T] or [H,K,T] times x [B,T,H,D] along its tokens. */
function projected(x: NdArray, matrix: NdArray, round: Round): Result {
  const [B = 0, T = 0, H = 0, D = 0] = x.shape;
  const rows = matrix.shape.at(-2)!;
  const out = zeros([B, rows, H, D]);
  for (let b = 0; b < B; b++) {
    for (let m = 0; m < rows; m++) {
      for (let h = 0; h < H; h++) {
        const from = (matrix.shape.length === 3 ? h * rows + m : m) * T;
        for (let d = 0; d < D && T > 0; d++) {
          out.data[offset(out.shape, b, m, h, d)] = dot(
            matrix.data,
            from,
            1,
            x.data,
            offset(x.shape, b, 0, h, d),
            H * D,
            T,
            round,
          );
        }
      }
    }
  }
  return out;
}

/** softmax(scale q (E k)^T) F v with E = projK and F = projV, or E where there is none: o [B,Tq,Hq,Dv] (Linformer, equation 7). */
export function linformer(
  { q, k, v, projK, projV = projK }: { q: NdArray; k: NdArray; v: NdArray; projK: NdArray; projV?: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const operands = { q, k: projected(k, projK, round), v: projected(v, projV, round) };
  return { o: attention(operands, scale === undefined ? {} : { scale }, round).o };
}
