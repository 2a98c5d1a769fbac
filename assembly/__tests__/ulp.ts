/** Distance of an f32 from the exact value, in units of the last place of an f32 of that size. */
export function ulpError(got: f32, exact: f64): f64 {
  if (isNaN(exact)) return isNaN(got) ? 0 : Infinity;
  if (<f64>got == exact) return 0;
  const exponent = max(-126, ((<i32>(reinterpret<u64>(exact) >> 52)) & 0x7ff) - 1023);
  return NativeMath.abs(<f64>got - exact) / reinterpret<f64>((<u64>(exponent - 23 + 1023)) << 52);
}
