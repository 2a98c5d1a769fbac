"""The token mixers of the zoo: what stands around one mixing function each.

`forms` is the module that computes the function: chunked (training) or recurrences (token by token); both have the same names.
Linear layers have no bias unless said. README.md has the same as formulas, with the shape of every tensor.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

import chunked

EPS = 1e-5


def rms(x, weight=None):
    """x / sqrt(mean x^2 + eps) over the last axis, times weight."""
    x = chunked.precise(x)
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
    return x if weight is None else x * weight


def rotary(x, cos, sin):
    """Rotates pairs half a head apart; x [B, T, H, D], cos and sin [T, D / 2]."""
    a, b = chunked.precise(x).chunk(2, -1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)


def short_conv(x, weight, bias=None):
    """Causal depthwise convolution and silu: x [B, T, D], weight [D, W], the last tap the newest input's."""
    W = weight.shape[1]
    padded = F.pad(x, (0, 0, W - 1, 0))
    y = sum(padded[:, w : w + x.shape[1]] * weight[:, w] for w in range(W))
    return F.silu(y if bias is None else y + bias)


def linear(inputs, outputs, gain=0.55):
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    return layer


def inverse_softplus(x):
    return x + torch.log(-torch.expm1(-x))


def log_uniform(low, high, *shape):
    return torch.exp(torch.rand(*shape) * (math.log(high) - math.log(low)) + math.log(low))


class Mixer(nn.Module):
    """Sizes that all have, and the projection out of the heads."""

    uses_rope = False

    def __init__(self, config):
        super().__init__()
        self.dim, self.heads, self.head_dim = config["dim"], config["heads"], config["head_dim"]
        self.inner = self.heads * self.head_dim
        self.forms = chunked
        self.out = linear(self.inner, self.dim, 0.55 / math.sqrt(2 * config["layers"]))

    def split_heads(self, x):
        return x.unflatten(-1, (-1, self.head_dim))

    def gated_out(self, o, gate):
        """Each head normalised, its weights shared by the heads, times the gate, through the projection."""
        o = rms(o, self.norm).flatten(-2)
        return self.out(o * gate)


class Attention(Mixer):
    """Softmax attention with grouped key/value heads; rope unless the config says no."""

    def __init__(self, config):
        super().__init__(config)
        self.uses_rope = config.get("rope", True)
        self.kv = config["kv_heads"] * self.head_dim
        self.proj = linear(self.dim, self.inner + 2 * self.kv)

    def operands(self, x, cos, sin):
        q, k, v = map(self.split_heads, self.proj(x).split([self.inner, self.kv, self.kv], -1))
        if self.uses_rope:
            q, k = rotary(q, cos, sin), rotary(k, cos, sin)
        return q, k, v

    def mix(self, q, k, v):
        return self.forms.attention(q, k, v)

    def forward(self, x, cos, sin):
        return self.out(self.mix(*self.operands(x, cos, sin)).flatten(-2))


class Window(Attention):
    """Attention to the first tokens and the last ones."""

    def __init__(self, config):
        super().__init__(config)
        self.sinks, self.window = config["sinks"], config["window"]

    def mix(self, q, k, v):
        return self.forms.streaming_llm(q, k, v, self.sinks, self.window)


class Moba(Attention):
    """Mixture of block attention: the own chunk of keys and the earlier ones whose mean key fits best."""

    def __init__(self, config):
        super().__init__(config)
        self.chunk, self.topk = config["chunk"], config["topk"]

    def mix(self, q, k, v):
        return self.forms.moba(q, k, v, self.chunk, self.topk)


class GatedDeltaNet(Mixer):
    def __init__(self, config):
        super().__init__(config)
        D, H = self.inner, self.heads
        self.proj = linear(self.dim, 4 * D + 2 * H)
        self.conv = nn.Parameter(torch.randn(3 * D, config["conv"]) * config["conv"] ** -0.5)
        self.A_log = nn.Parameter(log_uniform(1, 16, H).log())
        self.dt_bias = nn.Parameter(inverse_softplus(log_uniform(0.001, 0.1, H)))
        self.norm = nn.Parameter(torch.ones(self.head_dim))

    def forward(self, x, cos, sin):
        D, H = self.inner, self.heads
        qkv, z, a, b = self.proj(x).split([3 * D, D, H, H], -1)
        q, k, v = map(self.split_heads, short_conv(qkv, self.conv).chunk(3, -1))
        g = -self.A_log.exp() * F.softplus(chunked.precise(a) + self.dt_bias)
        o = self.forms.gated_delta_rule(q, k, v, g, chunked.precise(b).sigmoid())
        return self.gated_out(o, F.silu(z))


class Kda(Mixer):
    """Kimi Delta Attention with the bounded form of its gate."""

    LOWEST = -5.0

    def __init__(self, config):
        super().__init__(config)
        D, R = self.inner, config["rank"]
        self.rank = R
        self.proj = linear(self.dim, 3 * D + 2 * R + self.heads)
        self.conv = nn.Parameter(torch.randn(3 * D, config["conv"]) * config["conv"] ** -0.5)
        self.decay, self.gate = linear(R, D), linear(R, D)
        self.A_log = nn.Parameter(torch.zeros(self.heads))
        self.dt_bias = nn.Parameter(torch.logit(log_uniform(0.001, 1.0, D) / -self.LOWEST))
        self.norm = nn.Parameter(torch.ones(self.head_dim))

    def forward(self, x, cos, sin):
        qkv, f, z, b = self.proj(x).split([3 * self.inner, self.rank, self.rank, self.heads], -1)
        q, k, v = map(self.split_heads, short_conv(qkv, self.conv).chunk(3, -1))
        f = self.split_heads(chunked.precise(self.decay(f)) + self.dt_bias)
        g = self.LOWEST * (self.A_log.exp()[:, None] * f).sigmoid()
        o = self.forms.kda(q, k, v, g, chunked.precise(b).sigmoid())
        return self.gated_out(o, self.gate(z).sigmoid())


class Gla(Mixer):
    def __init__(self, config):
        super().__init__(config)
        D, R = self.inner, config["rank"]
        self.rank = R
        self.proj = linear(self.dim, 4 * D + R)
        self.decay = linear(R, D)
        # memories of about 23 to 50,000 tokens to begin with
        self.decay_bias = nn.Parameter(torch.rand(D) * 8)
        self.norm = nn.Parameter(torch.ones(self.head_dim))

    def forward(self, x, cos, sin):
        qkv, z, f = self.proj(x).split([3 * self.inner, self.inner, self.rank], -1)
        q, k, v = map(self.split_heads, qkv.chunk(3, -1))
        gk = self.split_heads(F.logsigmoid(chunked.precise(self.decay(f)) + self.decay_bias) / 16)
        return self.gated_out(self.forms.gla(q, k, v, gk), F.silu(z))


class RetNet(Mixer):
    uses_rope = True

    def __init__(self, config):
        super().__init__(config)
        self.proj = linear(self.dim, 4 * self.inner)
        self.norm = nn.Parameter(torch.ones(self.head_dim))

    def forward(self, x, cos, sin):
        q, k, v, z = self.proj(x).chunk(4, -1)
        q, k, v = map(self.split_heads, (q, k, v))
        return self.gated_out(self.forms.retention(rotary(q, cos, sin), rotary(k, cos, sin), v), F.silu(z))


class Mamba2(Mixer):
    def __init__(self, config):
        super().__init__(config)
        D, H = self.inner, self.heads
        self.groups, self.states = config["groups"], config["states"]
        self.side = self.groups * self.states
        self.proj = linear(self.dim, 2 * D + 2 * self.side + H)
        self.conv = nn.Parameter(torch.randn(D + 2 * self.side, config["conv"]) * config["conv"] ** -0.5)
        self.conv_bias = nn.Parameter(torch.zeros(D + 2 * self.side))
        self.A_log = nn.Parameter(log_uniform(1, 16, H).log())
        self.dt_bias = nn.Parameter(inverse_softplus(log_uniform(0.001, 0.1, H)))
        self.D = nn.Parameter(torch.ones(H))
        self.norm = nn.Parameter(torch.ones(D))

    def forward(self, x, cos, sin):
        D = self.inner
        z, xBC, dt = self.proj(x).split([D, D + 2 * self.side, self.heads], -1)
        v, B, C = short_conv(xBC, self.conv, self.conv_bias).split([D, self.side, self.side], -1)
        B, C = (s.unflatten(-1, (self.groups, self.states)) for s in (B, C))
        dt = F.softplus(chunked.precise(dt) + self.dt_bias)
        o = self.forms.ssd(self.split_heads(v), dt, -self.A_log.exp(), B, C, self.D)
        return self.out(rms(o.flatten(-2) * F.silu(z), self.norm))


class Rwkv7(Mixer):
    STREAMS = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}

    def __init__(self, config):
        super().__init__(config)
        C, D, ranks = self.dim, self.inner, config["ranks"]
        depth = config["layer"] / config["layers"]
        place = torch.arange(C) / C
        self.mix = nn.Parameter(torch.stack([1 - place ** (p * (1 - depth)) for p in self.STREAMS.values()]))
        self.receptance, self.key, self.value = (linear(C, D) for _ in range(3))
        self.w1, self.w2 = linear(C, ranks["w"]), linear(ranks["w"], D)
        self.a1, self.a2 = linear(C, ranks["a"]), linear(ranks["a"], D)
        self.g1, self.g2 = linear(C, ranks["g"]), linear(ranks["g"], D)
        self.w0 = nn.Parameter(-6 + 5 * (torch.arange(D) / (D - 1)) ** (0.85 + depth**0.5))
        self.a0 = nn.Parameter(torch.zeros(D))
        self.k_k = nn.Parameter(torch.full((D,), 0.85))
        self.k_a = nn.Parameter(torch.ones(D))
        self.r_k = nn.Parameter(torch.zeros(self.heads, self.head_dim))
        self.norm = nn.Parameter(torch.ones(D))
        self.norm_bias = nn.Parameter(torch.zeros(D))

    def forward(self, x, cos, sin):
        before = F.pad(x, (0, 0, 1, 0))[:, :-1]
        xr, xw, xk, xv, xa, xg = (x + (before - x) * mu for mu in self.mix)
        r, k, v = self.receptance(xr), self.key(xk), self.value(xv)
        w = -0.606531 * (chunked.precise(self.w2(self.w1(xw).tanh())) + self.w0).sigmoid()
        a = (chunked.precise(self.a2(self.a1(xa))) + self.a0).sigmoid()
        kk = chunked.l2norm(self.split_heads(chunked.precise(k) * self.k_k))
        k = k * (1 + (a - 1) * self.k_a)
        r, w, k, v, a = map(self.split_heads, (r, w, k, v, a))
        o = chunked.precise(self.forms.rwkv7(r, w, k, v, kk, a))
        o = F.layer_norm(o, (self.head_dim,), eps=64e-5)
        o = o.flatten(-2) * self.norm + self.norm_bias
        o = o + ((r * k * self.r_k).sum(-1, keepdim=True) * v).flatten(-2)
        return self.out(o * self.g2(self.g1(xg).sigmoid()))


MIXERS = {
    "attention": Attention,
    "window": Window,
    "moba": Moba,
    "gated-deltanet": GatedDeltaNet,
    "kda": Kda,
    "gla": Gla,
    "retnet": RetNet,
    "mamba2": Mamba2,
    "rwkv7": Rwkv7,
}
