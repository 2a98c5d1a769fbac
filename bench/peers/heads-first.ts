/** [T, H, D] to [H, T, D]: the layout that other packages take. */
export function headsFirst(data: Float32Array, time: number, heads: number, dim: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let t = 0; t < time; t++) {
    for (let h = 0; h < heads; h++) {
      const from = (t * heads + h) * dim;
      result.set(data.subarray(from, from + dim), (h * time + t) * dim);
    }
  }
  return result;
}

/** [H, T, D] back to [T, H, D]: the layout that results are checked in. */
export const timeFirst = (data: Float32Array, time: number, heads: number, dim: number): Float32Array =>
  headsFirst(data, heads, time, dim);
