/** panel[d][8] = rows[8][d] transposed; rows are f32, `stride` bytes apart. */
export function transposePanel(rows: usize, stride: usize, panel: usize, d: i32): void {
  const r1 = rows + stride;
  const r2 = r1 + stride;
  const r3 = r2 + stride;
  for (let half: usize = 0; half < 2; ++half) {
    const base = half * 4 * stride;
    let out = panel + half * 16;
    let i: usize = 0;
    for (const end = (<usize>(d & ~3)) << 2; i < end; i += 16) {
      const x0 = v128.load(rows + base + i);
      const x1 = v128.load(r1 + base + i);
      const x2 = v128.load(r2 + base + i);
      const x3 = v128.load(r3 + base + i);
      const low01 = i32x4.shuffle(x0, x1, 0, 4, 1, 5);
      const low23 = i32x4.shuffle(x2, x3, 0, 4, 1, 5);
      const high01 = i32x4.shuffle(x0, x1, 2, 6, 3, 7);
      const high23 = i32x4.shuffle(x2, x3, 2, 6, 3, 7);
      v128.store(out, i64x2.shuffle(low01, low23, 0, 2));
      v128.store(out, i64x2.shuffle(low01, low23, 1, 3), 32);
      v128.store(out, i64x2.shuffle(high01, high23, 0, 2), 64);
      v128.store(out, i64x2.shuffle(high01, high23, 1, 3), 96);
      out += 128;
    }
    for (const end = (<usize>d) << 2; i < end; i += 4) {
      store<f32>(out, load<f32>(rows + base + i));
      store<f32>(out, load<f32>(r1 + base + i), 4);
      store<f32>(out, load<f32>(r2 + base + i), 8);
      store<f32>(out, load<f32>(r3 + base + i), 12);
      out += 32;
    }
  }
}
