"""The same functions in parallel and chunkwise form, for training. Shapes as in recurrences.py.

Sequences are padded to whole chunks. Within a chunk everything is a matrix product; between chunks the state goes through one
affine map a chunk, S <- M S + H, whose products are small enough to run one after the other. Decays, triangular systems and
states stay in the precision of the operands' gates (float32 in training) whatever autocast does to the large products.
"""

import torch
import torch.nn.functional as F
from torch.amp import autocast

from recurrences import l2norm, moba_selection, repeat_heads, retention_decays

CHUNK = 64
SUBCHUNK = 16
# Exponents above this only occur in products that are masked: they must not become infinite.
HIGHEST = 80.0


def chunks(x, size=CHUNK):
    """[B, T, H, ...] -> [B, H, N, size, ...], zeros after the end."""
    T = x.shape[1]
    if T % size:
        x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, -T % size))
    return x.unflatten(1, (-1, size)).movedim(3, 1)


def unchunk(o, T):
    """[B, H, N, C, V] -> [B, T, H, V]."""
    return o.movedim(1, 3).flatten(1, 2)[:, :T]


def lower(x, diagonal):
    return x.tril(diagonal)


def precise(x):
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def inverse_by_blocks(A):
    """(I + A)^-1 of strictly lower triangular A [..., C, C], C a power of two and at least 16.

    Blocks of 16 by the product (I - A)(I + A^2)(I + A^4)(I + A^8), exact as A^16 = 0 and small enough to keep float32's
    digits; then twice as large ones from their halves: [[P, 0], [R, Q]]^-1 = [[P', 0], [-Q' R P', Q']].
    """
    C = A.shape[-1]
    if C > SUBCHUNK:
        half = C // 2
        blocks = torch.stack([A[..., :half, :half], A[..., half:, half:]], -3)
        P, Q = inverse_by_blocks(blocks).unbind(-3)
        R = -(Q @ A[..., half:, :half] @ P)
        top = torch.cat([P, torch.zeros_like(P)], -1)
        return torch.cat([top, torch.cat([R, Q], -1)], -2)
    identity = torch.eye(C, dtype=A.dtype, device=A.device)
    power = A @ A
    inverse = (identity - A) @ (identity + power)
    power = power @ power
    inverse = inverse + inverse @ power
    return inverse + inverse @ (power @ power)


class UnitLowerInverse(torch.autograd.Function):
    """inverse_by_blocks, its gradient from the result: dA = -X^T dX X^T below the diagonal."""

    @staticmethod
    def forward(ctx, A):
        X = inverse_by_blocks(A)
        ctx.save_for_backward(X)
        return X

    @staticmethod
    def backward(ctx, dX):
        (X,) = ctx.saved_tensors
        Xt = X.transpose(-1, -2)
        return -(Xt @ dX @ Xt).tril(-1)


unit_lower_inverse = UnitLowerInverse.apply


def states_before(M, H):
    """States [B, H, N, K, V] before each chunk, of S <- M S + H from zeros; M [B, H, N, K, K]."""
    maps, added = M.unbind(2), H.unbind(2)
    found = [torch.zeros_like(added[0])]
    for m, h in zip(maps[:-1], added[:-1]):
        found.append(m @ found[-1] + h)
    return torch.stack(found, 2)


def decayed_states_before(total, H):
    """As states_before for a diagonal M = diag(e^total), total [B, H, N, K]: a weighted sum over all earlier chunks at once."""
    G = total.cumsum(2).transpose(2, 3)  # [B, H, K, N]
    N = G.shape[-1]
    before = F.pad(G, (1, 0))[..., :N]  # up to the end of the chunk before
    earlier = torch.ones(N, N, dtype=torch.bool, device=G.device).tril(-1)
    weights = (before[..., :, None] - G[..., None, :]).masked_fill(~earlier, float("-inf")).exp()
    return (weights @ H.transpose(2, 3)).transpose(2, 3)


def pair_products(rows, y, G):
    """For each x of `rows`: sum_c x_ic y_jc e^(G_ic - G_jc) of a chunk, right for j <= i and finite above the diagonal.

    rows, y, G [..., C, K]; the exponents are taken from the start of each sub-chunk of rows, so that neither factor overflows
    as long as the decays of one sub-chunk stay above e^-80.
    """
    C = y.shape[-2]
    starts = F.pad(G, (0, 0, 1, 0))[..., 0:C:SUBCHUNK, :]  # G at the end of the sub-chunk before: [..., S, K]
    columns = y[..., None, :, :] * (starts[..., None, :] - G[..., None, :, :]).clamp(max=HIGHEST).exp()
    decay = (G.unflatten(-2, (-1, SUBCHUNK)) - starts[..., None, :]).exp()
    columns = columns.transpose(-1, -2)
    return [((x.unflatten(-2, (-1, SUBCHUNK)) * decay) @ columns).flatten(-3, -2) for x in rows]


def attention(q, k, v, visible=None):
    heads = q.shape[2]
    q, k, v = (repeat_heads(x, heads).transpose(1, 2) for x in (q, k, v))
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=visible is None)
    return o.transpose(1, 2)


def streaming_llm(q, k, v, sinks, window):
    t = torch.arange(q.shape[1], device=q.device)
    i, j = t[:, None], t[None, :]
    return attention(q, k, v, (j <= i) & ((j < sinks) | (i - j < window)))


def moba(q, k, v, chunk, topk):
    B, T, H, D = q.shape
    padded = F.pad(k, (0, 0, 0, 0, 0, -T % chunk))
    means = repeat_heads(precise(padded).unflatten(1, (-1, chunk)).mean(2), H)
    t = torch.arange(T, device=q.device)
    own = t[:, None] // chunk
    c = torch.arange(means.shape[1], device=q.device)[None]
    with torch.no_grad(), autocast(q.device.type, enabled=False):
        score = torch.einsum("bthd,bchd->bhtc", precise(q), means)
        score = score.masked_fill(c > own, float("-inf")).masked_fill(c == own, float("inf"))
        least = score.topk(min(topk, means.shape[1]), -1).values[..., -1:]
        chosen = (score >= least) & (c <= own)
        visible = chosen.repeat_interleave(chunk, dim=-1)[..., :T] & (t[None, :] <= t[:, None])
        bias = torch.zeros(visible.shape, dtype=v.dtype, device=q.device).masked_fill(~visible, float("-inf"))
    return attention(q, k, v, bias)


def scalar_decay(q, k, v, g, scale):
    """Linear attention with one log decay for each head and token, g [B, T, H]."""
    T = q.shape[1]
    q, k, v, g = (chunks(x) for x in (q * scale, k, v, precise(g)))
    G = g.cumsum(-1)  # [B, H, N, C]
    C = G.shape[-1]
    seen = torch.ones(C, C, dtype=torch.bool, device=q.device).tril()
    decay = (G[..., :, None] - G[..., None, :]).masked_fill(~seen, float("-inf")).exp()
    total = G[..., -1:]
    H = (k * (total - G).exp()[..., None]).transpose(-1, -2) @ v
    with autocast(q.device.type, enabled=False):
        S = decayed_states_before(total, precise(H).flatten(-2)[..., None, :]).unflatten(-1, H.shape[-2:]).squeeze(3)
    o = ((q @ k.transpose(-1, -2)) * decay) @ v + (q * G.exp()[..., None]) @ S
    return unchunk(o, T)


def gla(q, k, v, gk):
    T = q.shape[1]
    q, k, v, g = (chunks(x) for x in (q * q.shape[-1] ** -0.5, k, v, precise(gk)))
    G = g.cumsum(-2)
    total = G[..., -1:, :]
    H = (k * (total - G).exp()).transpose(-1, -2) @ v
    with autocast(q.device.type, enabled=False):
        S = decayed_states_before(total.squeeze(-2), precise(H))
    (qk,) = pair_products([q], k, G)
    o = lower(qk, 0) @ v + (q * G.exp()) @ S
    return unchunk(o, T)


def retention(q, k, v):
    g = retention_decays(q.shape[2], precise(q)).expand(q.shape[:3])
    return scalar_decay(q, k, v, g, q.shape[-1] ** -0.5)


def ssd(x, dt, A, B, C, D):
    heads = x.shape[2]
    B, C = repeat_heads(B, heads), repeat_heads(C, heads)
    return scalar_decay(C, B, x * dt[..., None], dt * A, 1.0) + D[:, None] * x


def delta_output(q, k, v, w, G, qk):
    """The delta rule after its triangular system: w k [.., C, K] and v already solved; qk the masked products q k."""
    total = G[..., -1:, :]
    keys = (k * (total - G).exp()).transpose(-1, -2)
    M, H = -(keys @ w), keys @ v
    with autocast(q.device.type, enabled=False):
        S = states_before(precise(M) + torch.diag_embed(total.squeeze(-2).exp()), precise(H))
    return qk @ (v - w @ S.to(w.dtype)) + (q * G.exp()) @ S


def kda(q, k, v, g, beta):
    T = q.shape[1]
    with autocast(q.device.type, enabled=False):
        q, k = l2norm(precise(q)) * q.shape[-1] ** -0.5, l2norm(precise(k))
    q, k, v, g, beta = (chunks(x) for x in (q, k, v, precise(g), precise(beta)[..., None]))
    G = g.cumsum(-2)
    kk, qk = pair_products([k, q], k, G)
    A = lower(precise(kk) * beta, -1)
    with autocast(q.device.type, enabled=False):
        solve = unit_lower_inverse(A) * beta.transpose(-1, -2)
    w, u = solve @ (k * G.exp()), solve @ v
    return unchunk(delta_output(q, k, u, w, G, lower(qk, 0)), T)


def gated_delta_rule(q, k, v, g, beta):
    T = q.shape[1]
    with autocast(q.device.type, enabled=False):
        q, k = l2norm(precise(q)) * q.shape[-1] ** -0.5, l2norm(precise(k))
    q, k, v, g, beta = (chunks(x) for x in (q, k, v, precise(g), precise(beta)[..., None]))
    G = g.cumsum(-1)
    C = G.shape[-1]
    seen = torch.ones(C, C, dtype=torch.bool, device=q.device).tril()
    decay = (G[..., :, None] - G[..., None, :]).masked_fill(~seen, float("-inf")).exp()
    A = lower(precise(k @ k.transpose(-1, -2)) * decay * beta, -1)
    with autocast(q.device.type, enabled=False):
        solve = unit_lower_inverse(A) * beta.transpose(-1, -2)
    G = G[..., None]
    w, u = solve @ (k * G.exp()), solve @ v
    qk = (q @ k.transpose(-1, -2)) * decay
    return unchunk(delta_output(q, k, u, w, G.expand_as(k), qk), T)


def rwkv7(r, w, k, v, kk, a):
    """w must stay above -1.2 a token, as RWKV-7's gate does (-0.606531): exponents are taken from the middle of a chunk."""
    T = r.shape[1]
    r, g, k, v, kk, b = (chunks(x) for x in (r, precise(w), k, v, kk, kk * a))
    G = g.cumsum(-2)
    total, middle = G[..., -1:, :], G[..., CHUNK // 2 - 1 : CHUNK // 2, :]
    rise, fall = (G - middle).exp(), (middle - G).exp()
    # what a row removes is read before its own decay
    removing_rows = kk * (G - g - middle).exp()
    rows, columns = torch.cat([removing_rows, r * rise], -2), torch.cat([b * fall, k * fall], -2)
    removes, reads = (rows @ columns.transpose(-1, -2)).chunk(2, -2)
    removed_by_b, removed_by_k = removes.chunk(2, -1)
    read_of_b, read_of_k = reads.chunk(2, -1)
    with autocast(r.device.type, enabled=False):
        solve = unit_lower_inverse(lower(precise(removed_by_b), -1))
        opening = middle.exp()
    u, w = solve @ (lower(removed_by_k, -1) @ v), solve @ (removing_rows * opening)
    tail = (total - G).exp()
    removing, writing = (b * tail).transpose(-1, -2), (k * tail).transpose(-1, -2)
    M, H = -(removing @ w), writing @ v - removing @ u
    with autocast(r.device.type, enabled=False):
        S = states_before(precise(M) + torch.diag_embed(total.squeeze(-2).exp()), precise(H))
    removed = u + w @ S.to(w.dtype)
    o = lower(read_of_k, 0) @ v - lower(read_of_b, 0) @ removed + (r * G.exp()) @ S
    return unchunk(o, T)
