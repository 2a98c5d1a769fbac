// Values that arithmetic on a GPU may not make: compilers take it that there are none.

const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;
const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
// stands for -Infinity where sums and maxima go on
const LOWEST = -1e30;

// Whether bits are those of -Infinity.
fn isNegativeInfinity(x: f32) -> bool { return bitcast<u32>(x) == NEGATIVE_INFINITY_BITS; }
