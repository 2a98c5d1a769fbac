"""Small models with random weights and their logits, one for each of the zoo's: what the product's tests compare with.

    python training/tiny.py tests/lm/models
"""

import sys
from pathlib import Path

import torch

import export
import model as models

SIZES = {
    "dim": 48,
    "layers": 4,
    "heads": 3,
    "head_dim": 16,
    "kv_heads": 1,
    "mlp": 40,
    "rank": 8,
    "states": 8,
    "groups": 1,
    "sinks": 2,
    "window": 24,
    "chunk": 8,
    "topk": 3,
    "ranks": {"w": 8, "a": 8, "g": 8},
}


def tiny(name):
    """Every tensor away from its first values, so that each counts."""
    torch.manual_seed(7)
    config = models.model_config(name)
    made = models.Model({key: SIZES.get(key, value) for key, value in config.items()})
    with torch.no_grad():
        for p in made.parameters():
            spread = p.std().clamp(min=0.02, max=0.3) if p.numel() > 1 else 0
            p.add_(torch.randn_like(p) * 0.3 * spread)
        # logits of about one: the skeleton begins with small ones
        made.embedding.mul_(10)
    return made.eval()


def main(directory):
    models.CONFIG["reference"]["bytes"] = 96
    for name in models.CONFIG["models"]:
        export.write_reference(export.write(tiny(name), Path(directory), {}), Path(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
