"""Weights as the product reads them: int8 by rows, and the reference logits of exactly those weights.

    python training/export.py DIRECTORY [NAME ...]

writes models that nobody trained, with random weights that make every gate and norm count: enough to write and test a loader.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

import data
import model as models
import recurrences
import safetensors_file


def is_matrix(name):
    """The matrices of linear layers and the embedding; everything else is small and stays float32."""
    return name.endswith(".weight") or name == "embedding"


def quantise(x):
    """int8 codes and a scale for each row: x is about codes * scale. A row of zeros gets scale 0."""
    x = x.detach().float().cpu().numpy()
    scale = (np.abs(x).max(1) / np.float32(127)).astype(np.float32)
    codes = np.rint(x / np.where(scale > 0, scale, 1)[:, None]).clip(-127, 127).astype(np.int8)
    return codes, scale


def pack(state):
    """Arrays for the file: NAME int8 with NAME.scale, or NAME float32."""
    tensors = {}
    for name, x in state.items():
        if is_matrix(name):
            tensors[name], tensors[f"{name}.scale"] = quantise(x)
        else:
            tensors[name] = x.detach().float().cpu().numpy()
    return tensors


def unpack(tensors):
    """State dict of what the product computes with: codes times scales, in float32."""
    state = {}
    for name, x in tensors.items():
        if name.endswith(".scale"):
            continue
        scale = tensors.get(f"{name}.scale")
        state[name] = torch.tensor(x if scale is None else x.astype(np.float32) * scale[:, None])
    return state


def load(path):
    """The model of a weight file."""
    tensors, metadata = safetensors_file.read(path)
    made = models.Model(json.loads(metadata["config"]))
    made.load_state_dict(unpack(tensors))
    return made


def selection_margins(exact, tokens):
    """The smallest relative gap at the cut of any choice of chunks of a moba model; None for models that choose nothing."""
    margins = []

    def moba(q, k, v, chunk, topk):
        T, H = q.shape[1:3]
        keys = recurrences.repeat_heads(k, H)
        full = T // chunk
        means = keys[:, : full * chunk].unflatten(1, (full, chunk)).mean(2)
        for t in range(chunk * topk, T):
            score = torch.einsum("bhd,bchd->bhc", q[:, t], means[:, : t // chunk]).sort(-1, descending=True).values
            gap = score[..., topk - 2] - score[..., topk - 1]
            margins.append((gap / score.abs().amax(-1)).min().item())
        return recurrences.moba(q, k, v, chunk, topk)

    forms = SimpleNamespace(**{**vars(recurrences), "moba": moba})
    exact.use(forms)(tokens)
    exact.use(recurrences)
    return min(margins) if margins else None


def reference(made, margin=1e-4, tries=40):
    """(tokens, logits in float64, offset, margin) on text of the test split.

    Where the model chooses chunks, the text is the first whose choices all have a margin, so that float32 chooses the same.
    """
    spec = models.CONFIG["reference"]
    text = (data.TEXT / f"{spec['document'].replace('/', '-')}.txt").read_bytes()
    exact = models.token_by_token(made)
    device = next(made.parameters()).device
    best = None
    with torch.no_grad():
        for attempt in range(tries):
            offset = 4096 + attempt * spec["bytes"]
            tokens = torch.tensor([list(text[offset : offset + spec["bytes"]])], device=device)
            found = selection_margins(exact, tokens)
            if best is None or found > best[0]:
                best = (found, offset, tokens)
            if found is None or found >= margin:
                break
        found, offset, tokens = best
        return tokens[0], exact(tokens)[0], offset, found


def write(made, directory, facts):
    """Writes NAME.safetensors and NAME.logits.safetensors; gives the dequantised model."""
    directory.mkdir(parents=True, exist_ok=True)
    name = made.config["name"]
    weights = directory / f"{name}.safetensors"
    metadata = {"format": "wattn-zoo-1", "config": json.dumps(made.config), "training": json.dumps(facts)}
    safetensors_file.write(weights, pack(made.state_dict()), metadata)
    return load(weights).to(next(made.parameters()).device)


def write_reference(made, directory):
    tokens, logits, offset, margin = reference(made)
    spec = models.CONFIG["reference"]
    facts = {"document": spec["document"], "offset": str(offset), "margin": str(margin), "computed": "float64, token by token"}
    arrays = {"tokens": tokens.cpu().numpy().astype(np.uint8), "logits": logits.cpu().numpy().astype(np.float32)}
    safetensors_file.write(directory / f"{made.config['name']}.logits.safetensors", arrays, facts)


def untrained(name, seed=3):
    """A model away from its first weights in every tensor."""
    torch.manual_seed(seed)
    made = models.Model(models.model_config(name))
    with torch.no_grad():
        for p in made.parameters():
            spread = p.std().nan_to_num(0.1).clamp(min=0.3 if p.dim() == 1 else 0.0)
            p.add_(torch.randn_like(p) * 0.1 * spread)
    return made


def main(directory, *names):
    for name in names or models.CONFIG["models"]:
        made = write(untrained(name), Path(directory), {"model": name, "steps": 0})
        write_reference(made, Path(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
