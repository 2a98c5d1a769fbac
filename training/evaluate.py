"""Bits per byte on held-out text, and recall by distance."""

import math

import numpy as np
import torch
import torch.nn.functional as F

import batches
import data
import recall


def predict(model, tokens):
    """Logits in float32 of what training computes. Gradients stay on, so that the compiled layers serve as they are."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=tokens.device.type == "cuda"):
        return model(tokens).detach().float()


def windows(split, length, device):
    """All windows of length + 1 bytes of a split, one after the other."""
    text = torch.tensor(np.frombuffer(data.load(split), np.uint8), device=device)
    count = (len(text) - 1) // length
    places = torch.arange(count, device=device)[:, None] * length + torch.arange(length + 1, device=device)
    return text[places].long()


def bits_per_byte(model, found, batch):
    """Mean over the windows, each from an empty context; the last batch is filled up with rows that are not counted."""
    total = 0.0
    for at in range(0, len(found), batch):
        rows = found[at : at + batch]
        filled = torch.cat([rows, rows[:1].expand(batch - len(rows), -1)])
        logits = predict(model, filled[:, :-1])[: len(rows)]
        total += F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()
    return total / (len(found) * (found.shape[1] - 1)) / math.log(2)


def recall_accuracy(model, distance, config, batch, length, device):
    """Share of cases whose value's bytes all have the largest logit, given those before them."""
    prose = recall.plain(data.load("validation"))
    count = config["recall_cases"]
    tokens, places = batches.recall_cases(prose, distance, count, config["recall_seed"], length)
    tokens, places, right = tokens.to(device), places.to(device), 0
    for at in range(0, count, batch):
        rows, place = tokens[at : at + batch], places[at : at + batch]
        filled = torch.cat([rows, rows[:1].expand(batch - len(rows), -1)])
        best = predict(model, filled)[: len(rows)].argmax(-1)
        span = torch.arange(recall.VALUE_BYTES, device=device)
        guess = best.gather(1, place[:, None] + span - 1)
        right += (guess == rows.gather(1, place[:, None] + span)).all(1).sum().item()
    return right / count
