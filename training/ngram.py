"""A 5-gram byte model with Witten-Bell smoothing, trained on the same split: what a model of the zoo has to beat.

python training/ngram.py      # writes zoo/ngram.json: bits per byte of each split, and of each document in zoo/text
"""

import json
from pathlib import Path

import numpy as np

import data

ZOO = Path(__file__).resolve().parent.parent / "zoo"

ORDER = 5


def grams(text, n):
    """Every run of n bytes as one integer."""
    found = np.zeros(len(text) - n + 1, np.int64)
    for i in range(n):
        found = (found << 8) | text[i : len(found) + i]
    return found


def lookup(keys, values, wanted):
    """Values of the wanted keys, 0 for those that are not there."""
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def bits_per_byte(train, held):
    """Mean of -log2 p over the held-out text from its fifth byte on."""
    p = np.full(len(held) - ORDER + 1, 1 / 256)
    for n in range(1, ORDER + 1):
        seen, counts = np.unique(grams(train, n), return_counts=True)
        contexts, first, kinds = np.unique(seen >> 8, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, first)
        run = grams(held, n)[ORDER - n :]
        count = lookup(seen, counts, run)
        total, kind = lookup(contexts, totals, run >> 8), lookup(contexts, kinds, run >> 8)
        p = np.where(total > 0, (count + kind * p) / np.maximum(total + kind, 1), p)
    return -np.log2(p).mean()


if __name__ == "__main__":
    train = np.frombuffer(data.load("train"), np.uint8)
    held = {split: data.load(split) for split in ("validation", "test")}
    documents = {path.name: path.read_bytes() for path in sorted((ZOO / "text").glob("*.txt"))}
    bits = {name: round(float(bits_per_byte(train, np.frombuffer(text, np.uint8))), 4) for name, text in (held | documents).items()}
    (ZOO / "ngram.json").write_text(json.dumps({"order": ORDER, "bits": bits}, indent=2) + "\n")
    print(bits)
