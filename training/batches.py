"""Training batches on the GPU: random crops of the corpus and sequences of the recall task."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch

import data
import recall


def recall_part(length, prose, seeds):
    made = [recall.training_sequence(seed, prose, length) for seed in seeds]
    return np.frombuffer(b"".join(x for x, _ in made), np.uint8), np.frombuffer(b"".join(m for _, m in made), np.uint8)


def write_recall(path, count, length, seed, workers):
    """Writes `count` sequences and their masks, uint8 [2, count, length], by the generator's seeds seed, seed + 1, ..."""
    prose = recall.plain(data.load("train"))
    parts = [range(seed + at, seed + min(at + 256, count)) for at in range(0, count, 256)]
    with ProcessPoolExecutor(workers) as pool:
        made = list(pool.map(partial(recall_part, length, prose), parts))
    both = np.stack([np.concatenate([part[i] for part in made]).reshape(count, length) for i in (0, 1)])
    np.save(path, both)


def recall_cases(prose, distance, count, seed, length):
    """Cases of one distance as tokens [count, length], zeros after the end, and the index of each answer's first byte."""
    tokens, places = torch.zeros(count, length, dtype=torch.long), torch.zeros(count, dtype=torch.long)
    for n in range(count):
        text, at = recall.evaluation_case(seed + n, prose, distance)
        tokens[n, : len(text)] = torch.tensor(list(text))
        places[n] = at
    return tokens, places


class Batches:
    """`next()` gives bytes [batch, length + 1] and the weight of each as a target, from a seeded generator."""

    def __init__(self, config, length, recall_file, device):
        self.device, self.length = device, length + 1
        self.recalls = round(config["batch"] * config["recall_share"])
        self.crops = config["batch"] - self.recalls
        self.corpus = torch.tensor(np.frombuffer(data.load("train"), np.uint8), device=device)
        pool = np.load(recall_file, mmap_mode="r")
        self.pool, self.masks = (torch.tensor(pool[i], device=device) for i in (0, 1))
        self.weight = config["recall_weight"]
        self.generator = torch.Generator(device).manual_seed(config["seed"])
        self.span = torch.arange(self.length, device=device)

    def integers(self, high, count):
        return torch.randint(high, (count,), generator=self.generator, device=self.device)

    def next(self):
        starts = self.integers(len(self.corpus) - self.length, self.crops)
        rows = self.integers(len(self.pool), self.recalls)
        tokens = torch.cat([self.corpus[starts[:, None] + self.span], self.pool[rows]]).long()
        weights = torch.ones(tokens.shape, device=self.device)
        weights[self.crops :] += (self.weight - 1) * self.masks[rows]
        return tokens, weights
