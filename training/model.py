"""The skeleton that all models share: byte embedding, layers of a token mixer and a SwiGLU MLP, tied output."""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import recurrences
from mixers import MIXERS, linear, rms

CONFIG = json.loads((Path(__file__).resolve().parent / "config.json").read_text())


def model_config(name):
    """The config of a model: the shared sizes and its own."""
    return {"name": name, **CONFIG["skeleton"], **CONFIG["models"][name]}


def layer_config(config, layer):
    """The mixer's config in a layer: the layers' names repeat along the depth."""
    pattern = config["pattern"]
    name = pattern[layer % len(pattern)]
    return {**config, **config.get("mixers", {}).get(name, {}), "mixer": name, "layer": layer}


class Layer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        own = layer_config(config, layer)
        C, M = config["dim"], config["mlp"]
        self.norm1 = nn.Parameter(torch.ones(C))
        self.mixer = MIXERS[own["mixer"]](own)
        self.norm2 = nn.Parameter(torch.ones(C))
        self.mlp_in = linear(C, 2 * M)
        self.mlp_out = linear(M, C, 0.55 / math.sqrt(2 * config["layers"]))

    def forward(self, x, cos, sin):
        x = x + self.mixer(rms(x, self.norm1), cos, sin)
        gate, up = self.mlp_in(rms(x, self.norm2)).chunk(2, -1)
        return x + self.mlp_out(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.randn(config["vocabulary"], config["dim"]) * 0.02)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config["layers"]))
        self.norm = nn.Parameter(torch.ones(config["dim"]))

    def use(self, forms):
        """Computes the mixing functions by this module: chunked or recurrences."""
        for layer in self.layers:
            layer.mixer.forms = forms
        return self

    def angles(self, positions):
        half = self.config["head_dim"] // 2
        exponents = torch.arange(half, dtype=torch.float64, device=positions.device) / half
        angles = positions[:, None].double() * self.config["rope_base"] ** -exponents
        kind = torch.promote_types(self.norm.dtype, torch.float32)
        return angles.cos().to(kind), angles.sin().to(kind)

    def hidden(self, tokens, positions=None):
        """What the output layer reads, [B, T, dim]."""
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        cos, sin = self.angles(positions)
        x = F.embedding(tokens, self.embedding)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return rms(x, self.norm)

    def forward(self, tokens, positions=None):
        """Logits [B, T, 256] of the byte after each; positions [T] default to 0, 1, ..."""
        return F.linear(self.hidden(tokens, positions), self.embedding)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def token_by_token(model):
    """The same weights in float64, their functions by the recurrences."""
    copy = Model(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.double().to(next(model.parameters()).device).use(recurrences)
