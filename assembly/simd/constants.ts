// Pre-splatted constants, 16 bytes each, at a fixed address that every instance writes alike.
// A v128 literal inside a loop is rebuilt at every use by current engines; a table entry loaded before
// the loop stays in a register.

// prettier-ignore
const TABLE: usize = memory.data<f32>([
  // 1.5 * 2^23 + 127: adding it rounds to an integer n and leaves n + 127, the exponent field of 2^n, in the low bits
  12583039, 12583039, 12583039, 12583039,
  // exp2(r) on |r| <= 1/2, degree 5: minimax of exp(r ln 2), at most 2 ulp
  0.6931471805599453, 0.6931471805599453, 0.6931471805599453, 0.6931471805599453,
  0.2402226719831436, 0.2402226719831436, 0.2402226719831436, 0.2402226719831436,
  0.05550566233583132, 0.05550566233583132, 0.05550566233583132, 0.05550566233583132,
  0.00967072092217144, 0.00967072092217144, 0.00967072092217144, 0.00967072092217144,
  0.0013299503390908163, 0.0013299503390908163, 0.0013299503390908163, 0.0013299503390908163,
  1, 1, 1, 1,
  // exp2 below this is flushed to zero: far under f32 resolution, far above denormal products
  -100, -100, -100, -100,
  // tanh(x) = x P(x^2) / Q(x^2), |x| up to where the quotient would pass 1
  0.999999941, 0.999999941, 0.999999941, 0.999999941,
  0.12919221, 0.12919221, 0.12919221, 0.12919221,
  0.00292075403, 0.00292075403, 0.00292075403, 0.00292075403,
  9.26735526e-6, 9.26735526e-6, 9.26735526e-6, 9.26735526e-6,
  -1.2780267e-8, -1.2780267e-8, -1.2780267e-8, -1.2780267e-8,
  1.82548606e-11, 1.82548606e-11, 1.82548606e-11, 1.82548606e-11,
  0.462525049, 0.462525049, 0.462525049, 0.462525049,
  0.0237631361, 0.0237631361, 0.0237631361, 0.0237631361,
  0.000228099157, 0.000228099157, 0.000228099157, 0.000228099157,
  7.925748825073242, 7.925748825073242, 7.925748825073242, 7.925748825073242,
  -7.925748825073242, -7.925748825073242, -7.925748825073242, -7.925748825073242,
], 16);

// prettier-ignore
const BITS: usize = memory.data<u32>([
  // the upper of two 16-bit elements
  0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000,
  // sign, exponent and mantissa of a sign-extended half after a shift by 13
  0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000,
  // exponents of two halves
  0x7c007c00, 0x7c007c00, 0x7c007c00, 0x7c007c00,
  // sixteen ones
  0x01010101, 0x01010101, 0x01010101, 0x01010101,
  // eight ones
  0x00010001, 0x00010001, 0x00010001, 0x00010001,
  // all bits but the signs of two halves
  0x7fff7fff, 0x7fff7fff, 0x7fff7fff, 0x7fff7fff,
], 16);

// prettier-ignore
const LINEAR: usize = memory.data<f32>([
  // state below 2^-100 counts as nothing
  7.888609052210118e-31, 7.888609052210118e-31, 7.888609052210118e-31, 7.888609052210118e-31,
  // 2^-40 and 2^40: the decays that rows may be folded by
  9.094947017729282e-13, 9.094947017729282e-13, 9.094947017729282e-13, 9.094947017729282e-13,
  1099511627776, 1099511627776, 1099511627776, 1099511627776,
  // folded state below 2^-80 counts as nothing: times a folded query it must stay above denormals
  8.271806125530277e-25, 8.271806125530277e-25, 8.271806125530277e-25, 8.271806125530277e-25,
], 16);

// prettier-ignore
const TURN: usize = memory.data<f64>([
  // tanh: e^-2|x| below this |x|, -2 log2 e, ln 2, one
  20, 20,
  -2.8853900817779268, -2.8853900817779268,
  0.6931471805599453, 0.6931471805599453,
  1, 1,
  // 2^52 + 1023: adding it to n leaves the exponent field of 2^n in the low bits; 2^52
  4503599627371519, 4503599627371519,
  4503599627370496, 4503599627370496,
  // pi / 2
  1.5707963267948966, 1.5707963267948966,
  // e^r, from r^10 / 10! to r^2 / 2
  2.755731922398589e-07, 2.755731922398589e-07,
  2.7557319223985893e-06, 2.7557319223985893e-06,
  2.48015873015873e-05, 2.48015873015873e-05,
  0.0001984126984126984, 0.0001984126984126984,
  0.001388888888888889, 0.001388888888888889,
  0.008333333333333333, 0.008333333333333333,
  0.041666666666666664, 0.041666666666666664,
  0.16666666666666666, 0.16666666666666666,
  0.5, 0.5,
  // sin r / r - 1, from r^8 / 9! to -r^2 / 6
  2.7557319223985893e-06, 2.7557319223985893e-06,
  -0.0001984126984126984, -0.0001984126984126984,
  0.008333333333333333, 0.008333333333333333,
  -0.16666666666666666, -0.16666666666666666,
  // cos r - 1, from -r^10 / 10! to -r^2 / 2
  -2.755731922398589e-07, -2.755731922398589e-07,
  2.48015873015873e-05, 2.48015873015873e-05,
  -0.001388888888888889, -0.001388888888888889,
  0.041666666666666664, 0.041666666666666664,
  -0.5, -0.5,
], 16);

// prettier-ignore
const SIGN: usize = memory.data<u64>([
  0x8000000000000000, 0x8000000000000000,
], 16);

export const TURN_MOST: usize = TURN;
export const TURN_LOG2E2: usize = TURN + 16;
export const TURN_LN2: usize = TURN + 32;
export const TURN_ONE: usize = TURN + 48;
export const TURN_POWER: usize = TURN + 64;
export const TURN_INTEGER: usize = TURN + 80;
export const TURN_HALF_PI: usize = TURN + 96;
export const TURN_EXP: usize = TURN + 112;
export const TURN_SIN: usize = TURN + 256;
export const TURN_COS: usize = TURN + 320;
export const TURN_SIGN: usize = SIGN;

export const STATE_FLUSH: usize = LINEAR;
export const LINEAR_LOW: usize = LINEAR + 16;
export const LINEAR_HIGH: usize = LINEAR + 32;
export const FOLDED_FLUSH: usize = LINEAR + 48;

// prettier-ignore
const EXP_LOG: usize = memory.data<f32>([
  // e^x = 2^(n-1) (2 + 2r + r^2 P(r)), |r| <= ln2/2, n = round(x log2 e), at most 2 ulp: log2 e; 1.5 * 2^23 + 126, which
  // leaves the exponent field of 2^(n-1) in the low bits; -ln 2 in two parts, the first of 9 bits so that n times it is
  // exact; 2P of degree 4; 2; from where e^x is infinite; below which it is flushed to zero
  1.4426950408889634, 1.4426950408889634, 1.4426950408889634, 1.4426950408889634,
  12583038, 12583038, 12583038, 12583038,
  -0.693359375, -0.693359375, -0.693359375, -0.693359375,
  2.12194440054690583e-4, 2.12194440054690583e-4, 2.12194440054690583e-4, 2.12194440054690583e-4,
  0.999999869032, 0.999999869032, 0.999999869032, 0.999999869032,
  0.33333041378, 0.33333041378, 0.33333041378, 0.33333041378,
  0.08333677474, 0.08333677474, 0.08333677474, 0.08333677474,
  0.016737419856, 0.016737419856, 0.016737419856, 0.016737419856,
  0.002762922636, 0.002762922636, 0.002762922636, 0.002762922636,
  2, 2, 2, 2,
  89, 89, 89, 89,
  -86.9, -86.9, -86.9, -86.9,
  // ln(1+f) = f - f^2/2 + f^3 P(f) on sqrt(1/2) <= 1+f < sqrt(2), P of degree 6
  0.333339107, 0.333339107, 0.333339107, 0.333339107,
  -0.25001337, -0.25001337, -0.25001337, -0.25001337,
  0.199630638, 0.199630638, 0.199630638, 0.199630638,
  -0.165775847, -0.165775847, -0.165775847, -0.165775847,
  0.149147682, 0.149147682, 0.149147682, 0.149147682,
  -0.142674868, -0.142674868, -0.142674868, -0.142674868,
  0.0870043453, 0.0870043453, 0.0870043453, 0.0870043453,
  // ln(1+u) = 2s + s^3 P(s^2), s = u/(2+u), 0 <= u <= 1, P of degree 3
  0.666664131318, 0.666664131318, 0.666664131318, 0.666664131318,
  0.400216991219, 0.400216991219, 0.400216991219, 0.400216991219,
  0.279991399375, 0.279991399375, 0.279991399375, 0.279991399375,
  0.280244649362, 0.280244649362, 0.280244649362, 0.280244649362,
], 16);

// prettier-ignore
const LOG_BITS: usize = memory.data<u32>([
  // sqrt(1/2); the exponent and sign
  0x3f3504f3, 0x3f3504f3, 0x3f3504f3, 0x3f3504f3,
  0xff800000, 0xff800000, 0xff800000, 0xff800000,
  // smallest normal number, infinity
  0x00800000, 0x00800000, 0x00800000, 0x00800000,
  0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000,
], 16);

// prettier-ignore
const SCAN: usize = memory.data<f32>([
  // 1.5 * 2^23: adding it rounds to an integer n and leaves n in the low bits
  12582912, 12582912, 12582912, 12582912,
  // least exponent of a decay that may be any: what is left of the state is far under f32 resolution
  -60, -60, -60, -60,
  // greatest exponent: infinity
  128, 128, 128, 128,
  // 2^-77 and 2^-43: added and taken away again they leave multiples of 2^-100 and 2^-66, and zeros
  6.617444900424221e-24, 6.617444900424221e-24, 6.617444900424221e-24, 6.617444900424221e-24,
  1.1368683772161603e-13, 1.1368683772161603e-13, 1.1368683772161603e-13, 1.1368683772161603e-13,
], 16);

// prettier-ignore
const MAGNITUDES: usize = memory.data<u32>([
  // all bits but the sign
  0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff,
], 16);

// prettier-ignore
const GELU: usize = memory.data<f32>([
  // gelu(x) = x sigmoid(x (a + b x^2)), a = 2 sqrt(2/pi), b = 0.044715 a; 3b
  1.5957691216057308, 1.5957691216057308, 1.5957691216057308, 1.5957691216057308,
  0.07135481627260025, 0.07135481627260025, 0.07135481627260025, 0.07135481627260025,
  0.21406444881780076, 0.21406444881780076, 0.21406444881780076, 0.21406444881780076,
], 16);

// prettier-ignore
const KEEP: usize = memory.data<u8>([
  // for every set of four lanes the shuffle that brings them to the front
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0,
  8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0,
  4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0,
  12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0,
  4, 5, 6, 7, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 0, 0, 0, 0,
  8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0,
  4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  // bytes that they take
  0, 4, 4, 8, 4, 8, 8, 12, 4, 8, 8, 12, 8, 12, 12, 16,
], 16);

export const KEEP_LANES: usize = KEEP;
export const KEPT_BYTES: usize = KEEP + 256;

// prettier-ignore
const LANES: usize = memory.data<u32>([
  // the first 0, 1, 2, 3 lanes
  0, 0, 0, 0,
  0xffffffff, 0, 0, 0,
  0xffffffff, 0xffffffff, 0, 0,
  0xffffffff, 0xffffffff, 0xffffffff, 0,
], 16);

export const FIRST_LANES: usize = LANES;

export const GELU_1: usize = GELU;
export const GELU_3: usize = GELU + 16;
export const GELU_SLOPE: usize = GELU + 32;

export const ROUND_INTEGER: usize = SCAN;
export const LEAST_EXPONENT: usize = SCAN + 16;
export const INFINITE_EXPONENT: usize = SCAN + 32;
export const COARSE_100: usize = SCAN + 48;
export const COARSE_66: usize = SCAN + 64;
export const MAGNITUDE: usize = MAGNITUDES;

export const UPPER_16: usize = BITS;
export const HALF_FIELDS: usize = BITS + 16;
export const HALF_EXPONENTS: usize = BITS + 32;

export const ONES_8: usize = BITS + 48;
export const ONES_16: usize = BITS + 64;
export const HALF_MAGNITUDES: usize = BITS + 80;

export const ROUND: usize = TABLE;
export const EXP2_1: usize = TABLE + 16;
export const EXP2_2: usize = TABLE + 32;
export const EXP2_3: usize = TABLE + 48;
export const EXP2_4: usize = TABLE + 64;
export const EXP2_5: usize = TABLE + 80;
export const ONE: usize = TABLE + 96;
export const EXP2_FLUSH: usize = TABLE + 112;
export const TANH_P0: usize = TABLE + 128;
export const TANH_Q1: usize = TABLE + 224;
export const TANH_MAX: usize = TABLE + 272;
export const TANH_MIN: usize = TABLE + 288;

export const EXP_LOG2E: usize = EXP_LOG;
export const EXP_ROUND: usize = EXP_LOG + 16;
export const EXP_LN2_HIGH: usize = EXP_LOG + 32;
export const EXP_LN2_LOW: usize = EXP_LOG + 48;
export const EXP_P0: usize = EXP_LOG + 64;
export const EXP_TWO: usize = EXP_LOG + 144;
export const EXP_MAX: usize = EXP_LOG + 160;
export const EXP_FLUSH: usize = EXP_LOG + 176;
export const LOG_P0: usize = EXP_LOG + 192;
export const LOG1P_P0: usize = EXP_LOG + 304;
export const LOG_SPLIT: usize = LOG_BITS;
export const LOG_FIELDS: usize = LOG_BITS + 16;
export const LOG_MIN: usize = LOG_BITS + 32;
export const LOG_MAX: usize = LOG_BITS + 48;

// prettier-ignore
const WEIGHTS: usize = memory.data<f32>([
  // exp2(r) on |r| <= 1/2, degree 3: at most 1.01e-4 off, for weights that become codes
  0.6932829273885206, 0.6932829273885206, 0.6932829273885206, 0.6932829273885206,
  0.24221096221649263, 0.24221096221649263, 0.24221096221649263, 0.24221096221649263,
  0.05500893142298194, 0.05500893142298194, 0.05500893142298194, 0.05500893142298194,
  // scores below become a weight far below half a code
  -20, -20, -20, -20,
], 16);

export const WEIGHT_1: usize = WEIGHTS;
export const WEIGHT_2: usize = WEIGHTS + 16;
export const WEIGHT_3: usize = WEIGHTS + 32;
export const WEIGHT_LEAST: usize = WEIGHTS + 48;

export const LOG2E: f32 = 1.4426950408889634;
export const LN2: f64 = 0.6931471805599453;
