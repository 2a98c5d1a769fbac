// What is applied to each element of a product, by its number: 0 none, 1 relu, 2 silu, 3 gelu by its tanh form.

// x / (1 + 2^t); where 2^t would be infinite the quotient is as good as zero.
fn dividedBy(x: vec4f, t: vec4f) -> vec4f { return x / (1.0 + exp2(min(t, vec4f(126.0)))); }

fn activate(x: vec4f, kind: i32) -> vec4f {
  switch kind {
    case 1: { return select(x, vec4f(0.0), x < vec4f(0.0)); }
    case 2: { return dividedBy(x, x * -1.4426950408889634); }
    // x/2 (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3)
    case 3: { return dividedBy(x, -2.302208198144325 * (x + 0.044715 * x * x * x)); }
    default: { return x; }
  }
}
