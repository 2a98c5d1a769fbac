"""python -m unittest training/test_forms.py: every mixing function, its training form against the token-by-token one in float64,
and the token-by-token one against the project's golden vectors."""

import sys
import unittest
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import chunked
import recurrences
import safetensors_file

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# also where this folder was copied one level deeper
VECTORS = next(p / "tests" / "vectors" for p in (HERE.parent, HERE.parent.parent) if (p / "tests" / "vectors").is_dir())
torch.set_default_dtype(torch.float64)


def normal(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).to(DEVICE)


def operands(name, T, strong):
    """Random operands as a trained layer may give them, the repeated keys of real text among them."""
    B, H, K = 2, 3, 32
    q, k, v = (normal(B, T, H, K) for _ in range(3))
    k[:, T // 3 : T // 2] = k[:, T // 3 : T // 3 + 1]
    decay = 4.0 if strong else 0.05
    # as the gates of the models bound them: -5 for kda, -0.606531 for rwkv7
    vector = -torch.rand(B, T, H, K, device=DEVICE) * decay
    scalar = vector[..., 0] * (10 if strong else 1)
    beta = torch.rand(B, T, H, device=DEVICE)
    few = normal(B, T, 1, K), normal(B, T, 1, K)
    if name == "attention":
        return q, *few
    if name == "streaming_llm":
        return q, *few, 4, 19
    if name == "moba":
        return q, *few, 16, 3
    if name == "gla":
        return q, k, v, vector
    if name == "retention":
        return q, k, v
    if name == "ssd":
        return v, beta * decay * 3, -torch.rand(H, device=DEVICE) * 16, *few, normal(H)
    if name == "kda":
        return q, k, v, vector, beta
    if name == "gated_delta_rule":
        return q, k, v, scalar, beta
    if name == "rwkv7":
        w = -0.606531 * (torch.rand(B, T, H, K, device=DEVICE) ** (0.1 if strong else 4))
        return q, w, k, v, recurrences.l2norm(k), torch.rand(B, T, H, K, device=DEVICE)
    raise KeyError(name)


NAMES = ["attention", "streaming_llm", "moba", "gla", "retention", "ssd", "kda", "gated_delta_rule", "rwkv7"]


def distance(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


class Forms(unittest.TestCase):
    def test_training_form_is_the_recurrence(self):
        torch.manual_seed(1)
        for name in NAMES:
            for T in (1, 63, 64, 200):
                for strong in (False, True):
                    given = operands(name, T, strong)
                    want = getattr(recurrences, name)(*given)
                    got = getattr(chunked, name)(*given)
                    self.assertLess(distance(got, want), 1e-9, (name, T, strong))

    def test_float32_and_gradients(self):
        torch.manual_seed(2)
        for name in NAMES:
            for strong in (False, True):
                given = [x.requires_grad_() if torch.is_tensor(x) else x for x in operands(name, 150, strong)]
                tensors = [x for x in given if torch.is_tensor(x)]
                want = getattr(recurrences, name)(*given)
                weight = torch.randn_like(want)
                slopes = torch.autograd.grad((want * weight).sum(), tensors)
                single = [x.detach().float().requires_grad_() if torch.is_tensor(x) else x for x in given]
                got = getattr(chunked, name)(*single)
                found = torch.autograd.grad((got * weight.float()).sum(), [x for x in single if torch.is_tensor(x)])
                self.assertLess(distance(got, want), 1e-4, (name, strong))
                for i, (a, b) in enumerate(zip(found, slopes)):
                    self.assertLess(distance(a, b), 1e-3, (name, strong, i))


class GoldenVectors(unittest.TestCase):
    def case(self, file):
        tensors, _ = safetensors_file.read(VECTORS / file)
        given = {name[3:]: torch.tensor(x, dtype=torch.float64, device=DEVICE) for name, x in tensors.items() if name.startswith("in.")}
        want = torch.tensor(tensors["out.o"], dtype=torch.float64, device=DEVICE)
        return given, want

    def check(self, file, compute):
        given, want = self.case(file)
        self.assertLess(distance(compute(given, given.get("initial_state")), want), 1e-5, file)

    def test_definitions(self):
        r = recurrences
        rule = lambda x: (x["q"], x["k"], x["v"], x["g"], x["beta"])  # noqa: E731
        for kind in ("mild-a", "strong-a"):
            self.check(f"gla--{kind}.safetensors", lambda x, s: r.gla(x["q"], x["k"], x["v"], x["gk"], state=s))
            self.check(f"kda--{kind}.safetensors", lambda x, s: r.kda(*rule(x), False, s))
            self.check(f"gated_delta_rule--{kind}.safetensors", lambda x, s: r.gated_delta_rule(*rule(x), False, s))
        self.check("gated_delta_rule--qk_l2norm-a.safetensors", lambda x, s: r.gated_delta_rule(*rule(x), True, s))
        self.check("retention--state-a.safetensors", lambda x, s: r.retention(x["q"], x["k"], x["v"], s))
        # wattn keeps this state as [B, H, P, N]
        names = ("x", "dt", "A", "B", "C", "D")
        self.check("ssd--plain-a.safetensors", lambda x, s: r.ssd(*(x[n] for n in names), s.transpose(2, 3)))
        names7 = ("r", "w", "k", "v", "kk", "a")
        self.check("rwkv7--plain-a.safetensors", lambda x, s: r.rwkv7(*(x[n] for n in names7), s))
        self.check("moba--plain-a.safetensors", lambda x, _: r.moba(x["q"], x["k"], x["v"], 16, 3))
        self.check("streaming_llm--sink-a.safetensors", lambda x, _: r.streaming_llm(x["q"], x["k"], x["v"], 4, 12))


if __name__ == "__main__":
    unittest.main()
