"""python -m unittest training/test_export.py: weight files are small, near the weights, and give the logits beside them."""

import sys
import tempfile
import unittest
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
import export
import model
import safetensors_file


class Export(unittest.TestCase):
    def test_codes(self):
        x = torch.randn(5, 40) * torch.tensor([1.0, 1e-3, 0.0, 10.0, 1.0])[:, None]
        codes, scale = export.quantise(x)
        error = abs(codes * scale[:, None] - x.numpy()).max(1)
        self.assertTrue((error <= scale * 0.5001).all(), error)

    def test_files(self):
        for name in model.CONFIG["models"]:
            with tempfile.TemporaryDirectory() as folder:
                directory = Path(folder)
                written = export.write(export.untrained(name), directory, {})
                file = directory / f"{name}.safetensors"
                self.assertLess(file.stat().st_size, 2_500_000, name)
                export.write_reference(written, directory)
                stored, facts = safetensors_file.read(directory / f"{name}.logits.safetensors")
                tokens = torch.tensor(stored["tokens"][None], dtype=torch.long)
                with torch.no_grad():
                    got = export.load(file)(tokens)[0]
                error = (got - torch.tensor(stored["logits"])).abs().max().item()
                print(f"{name}: float32 training form against stored logits {error:.1e}, selection margin {facts['margin']}")
                self.assertLess(error, 1e-3, name)


if __name__ == "__main__":
    unittest.main()
