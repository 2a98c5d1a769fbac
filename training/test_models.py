"""python -m unittest training/test_models.py: whole models, the training form against token by token in float64."""

import sys
import unittest
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
import export
import model

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Models(unittest.TestCase):
    def test_forms_agree(self):
        for name in model.CONFIG["models"]:
            made = export.untrained(name).to(DEVICE)
            tokens = torch.randint(256, (2, 150), device=DEVICE)
            with torch.no_grad():
                want = model.token_by_token(made)(tokens)
                single = made(tokens)
                got = made.double()(tokens)
            size = want.abs().max()
            self.assertLess(((got - want).abs().max() / size).item(), 1e-9, name)
            # moba may choose another chunk in float32 where two are as good
            if name != "moba":
                self.assertLess(((single - want).abs().max() / size).item(), 1e-3, name)

    def test_causal(self):
        for name in model.CONFIG["models"]:
            made = export.untrained(name).to(DEVICE).double()
            tokens = torch.randint(256, (1, 150), device=DEVICE)
            with torch.no_grad():
                whole, part = made(tokens), made(tokens[:, :97])
            self.assertLess((whole[:, :97] - part).abs().max().item(), 1e-9, name)

    def test_sizes(self):
        for name in model.CONFIG["models"]:
            size = model.parameters(model.Model(model.model_config(name)))
            self.assertTrue(2_300_000 < size < 2_450_000, (name, size))


if __name__ == "__main__":
    unittest.main()
