"""Token by token, straight from the definitions: what wattn's functions of these names compute. Slow; for tests.

Shapes as in wattn: q, k [B, T, H, K], v [B, T, H, V], gates in natural log, states [B, H, K, V]. Each gives o [B, T, H, V].
"""

import torch


def repeat_heads(x, heads):
    """Key/value heads [B, T, Hkv, D] for every query head: head h reads h // (heads / Hkv)."""
    return x.repeat_interleave(heads // x.shape[2], dim=2)


def l2norm(x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def masked_attention(q, k, v, visible):
    """Softmax attention; visible [T, T] or [B, H, T, T] is true where query i sees key j."""
    k, v = repeat_heads(k, q.shape[2]), repeat_heads(v, q.shape[2])
    logits = torch.einsum("bihd,bjhd->bhij", q, k) * q.shape[-1] ** -0.5
    weights = logits.masked_fill(~visible, float("-inf")).softmax(-1)
    return torch.einsum("bhij,bjhd->bihd", weights, v)


def positions(q):
    t = torch.arange(q.shape[1], device=q.device)
    return t[:, None], t[None, :]


def attention(q, k, v):
    i, j = positions(q)
    return masked_attention(q, k, v, j <= i)


def streaming_llm(q, k, v, sinks, window):
    i, j = positions(q)
    return masked_attention(q, k, v, (j <= i) & ((j < sinks) | (i - j < window)))


def moba_selection(q, k, chunk, topk):
    """Chunks that each query and head sees, [B, H, T, chunks]: its own, and the earlier ones of largest q . mean(k)."""
    B, T, H, D = q.shape
    keys = repeat_heads(k, H)
    chunks = -(-T // chunk)
    means = torch.stack([keys[:, c * chunk : (c + 1) * chunk].mean(1) for c in range(chunks)], 1)
    score = torch.einsum("bthd,bchd->bhtc", q, means)
    own = torch.arange(T, device=q.device)[:, None] // chunk
    c = torch.arange(chunks, device=q.device)[None]
    score = score.masked_fill(c > own, float("-inf")).masked_fill(c == own, float("inf"))
    best = score.topk(min(topk, chunks), -1).indices
    chosen = torch.zeros_like(score, dtype=torch.bool).scatter_(-1, best, True)
    return chosen & (c <= own)


def moba(q, k, v, chunk, topk):
    i, j = positions(q)
    chosen = moba_selection(q, k, chunk, topk)
    visible = chosen.repeat_interleave(chunk, dim=-1)[..., : q.shape[1]] & (j <= i)
    return masked_attention(q, k, v, visible)


def opening(q, v, state):
    """The state to start from: zeros [B, H, K, V] if none is given."""
    return q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3]) if state is None else state


def gla(q, k, v, gk, scale=None, state=None):
    """S_t = diag(e^gk_t) S_{t-1} + k_t v_t, o_t = scale q_t S_t."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    state = opening(q, v, state)
    o = []
    for t in range(q.shape[1]):
        state = gk[:, t].exp()[..., None] * state + k[:, t, :, :, None] * v[:, t, :, None]
        o.append(torch.einsum("bhk,bhkv->bhv", q[:, t] * scale, state))
    return torch.stack(o, 1)


def retention_decays(heads, like):
    """log(1 - 2^(-5 - h)) of head h."""
    return torch.log1p(-(2.0 ** (-5 - torch.arange(heads, dtype=torch.float64)))).to(like)


def retention(q, k, v, state=None):
    g = retention_decays(q.shape[2], q)[:, None].expand_as(q)
    return gla(q, k, v, g, state=state)


def ssd(x, dt, A, B, C, D, state=None):
    """S_t = e^(dt_t A) S_{t-1} + dt_t x_t B_t, o_t = S_t C_t + D x_t; dt [B, T, H] after the softplus, B, C [B, T, G, N]."""
    heads = x.shape[2]
    B, C = repeat_heads(B, heads), repeat_heads(C, heads)
    g = (dt * A)[..., None].expand_as(B)
    return gla(C, B, x * dt[..., None], g, 1.0, state) + D[:, None] * x


def dplr(q, k, v, a, b, g, scale, state=None):
    """S_t = diag(e^g_t) S_{t-1} + b_t (a_t S_{t-1}) + k_t v_t, o_t = scale q_t S_t; a reads the state before its decay."""
    state = opening(q, v, state)
    o = []
    for t in range(q.shape[1]):
        read = torch.einsum("bhk,bhkv->bhv", a[:, t], state)
        state = g[:, t].exp()[..., None] * state + b[:, t, :, :, None] * read[:, :, None] + k[:, t, :, :, None] * v[:, t, :, None]
        o.append(torch.einsum("bhk,bhkv->bhv", q[:, t] * scale, state))
    return torch.stack(o, 1)


def kda(q, k, v, g, beta, normalise=True, state=None):
    """S* = diag(e^g_t) S_{t-1}, S_t = S* + k_t beta_t (v_t - k_t S*), o_t = scale q_t S_t; g [B, T, H, K], beta [B, T, H]."""
    if normalise:
        q, k = l2norm(q), l2norm(k)
    state = opening(q, v, state)
    o = []
    for t in range(q.shape[1]):
        state = g[:, t].exp()[..., None] * state
        error = v[:, t] - torch.einsum("bhk,bhkv->bhv", k[:, t], state)
        state = state + (k[:, t] * beta[:, t, :, None])[..., None] * error[:, :, None]
        o.append(torch.einsum("bhk,bhkv->bhv", q[:, t] * q.shape[-1] ** -0.5, state))
    return torch.stack(o, 1)


def gated_delta_rule(q, k, v, g, beta, normalise=True, state=None):
    """As kda with one decay for each head, g [B, T, H]."""
    return kda(q, k, v, g[..., None].expand_as(q), beta, normalise, state)


def rwkv7(r, w, k, v, kk, a, state=None):
    """S_t = diag(e^w_t) S_{t-1} - (a_t kk_t) (kk_t S_{t-1}) + k_t v_t, o_t = r_t S_t."""
    return dplr(r, k, v, -kk, kk * a, w, 1.0, state)
