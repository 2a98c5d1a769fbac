"""Trains one model on one GPU within a budget of seconds, and leaves its weights, curve and facts behind at every evaluation."""

import contextlib
import csv
import fcntl
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import batches
import card
import evaluate
import export
import model as models

# Seconds kept back for the last evaluation and the export.
CLOSING = 20


def learning_rate(config, step, steps):
    """Linear warm-up, then a cosine down to a share of the peak."""
    warm = min(1.0, (step + 1) / config["warmup"])
    done = min(1.0, max(0.0, (step - config["warmup"]) / max(1, steps - config["warmup"])))
    cosine = config["final_rate"] + (1 - config["final_rate"]) * (1 + math.cos(math.pi * done)) / 2
    return config["learning_rate"] * warm * cosine


def weighted_loss(hidden, embedding, targets, weights):
    """(loss of the step, plain loss of the prose rows' bytes) of hidden states [B, T, dim]."""
    logits = F.linear(hidden, embedding).float()
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    return (each * weights).sum() / weights.sum(), each.detach()


class Trainer:
    def __init__(self, name, config, recall_file, out, seconds, steps=None, compiled=True, turns=False):
        self.begun = time.time()
        self.turns = turns
        self.name, self.config, self.out = name, config, Path(out)
        self.seconds, self.wanted, self.steps = seconds, steps, steps
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(config["seed"])
        self.model = models.Model(models.model_config(name)).to(self.device)
        self.length = self.model.config["context"]
        self.batches = batches.Batches(config, self.length, recall_file, self.device)
        self.loss = weighted_loss
        if compiled:
            # one compilation serves all layers of a kind; what cannot be compiled runs as it is, only slower
            torch._dynamo.config.recompile_limit = 64
            torch._dynamo.config.suppress_errors = True
            models.Layer.forward = torch.compile(models.Layer.forward, dynamic=False)
            self.loss = torch.compile(weighted_loss, dynamic=False)
        self.rate = torch.tensor(config["learning_rate"], device=self.device)
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        others = [p for p in self.model.parameters() if p.dim() <= 1]
        on_gpu = self.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config["weight_decay"]}, {"params": others, "weight_decay": 0.0}],
            lr=self.rate,
            betas=tuple(config["betas"]),
            capturable=on_gpu,
            fused=on_gpu,
        )
        self.positions = torch.arange(self.length, device=self.device)
        self.shifts = torch.Generator(self.device).manual_seed(config["seed"])
        self.prose_loss = torch.zeros((), device=self.device)
        self.step, self.rows, self.best, self.setup = 0, [], math.inf, {}
        self.inputs = self.graph = None

    def elapsed(self):
        return time.time() - self.begun

    def draw(self):
        """The next batch into the tensors that the step reads."""
        tokens, weights = self.batches.next()
        if self.inputs is None:
            self.inputs = tokens.clone(), weights.clone()
        for kept, new in zip(self.inputs, (tokens, weights)):
            kept.copy_(new)
        if self.name == "window":
            # The sinks stay at 0, 1, ... and the rest moves away from them, so that far places are no surprise at inference.
            sinks = self.model.config["sinks"]
            # drawn apart from the batches, which stay those of the other models
            draw = {"generator": self.shifts, "device": self.device}
            shift = torch.randint(16384, (1,), **draw) * torch.randint(2, (1,), **draw)
            self.positions.copy_(torch.arange(self.length, device=self.device))
            self.positions[sinks:] += shift

    @contextlib.contextmanager
    def alone(self):
        """The GPU to itself, among the processes of a run that ask."""
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.out / f"gpu-{os.environ.get('CUDA_VISIBLE_DEVICES', '')}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def compute(self):
        """One step of training on the tensors that were drawn."""
        tokens, weights = self.inputs
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            hidden = self.model.hidden(tokens[:, :-1], self.positions)
            loss, each = self.loss(hidden, self.model.embedding, tokens[:, 1:], weights[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config["clip"], foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.prose_loss += each[: self.batches.crops].mean()

    def compile(self):
        """Compiles by running, at a rate that changes nothing."""
        self.draw()
        self.rate.fill_(0.0)
        if self.device.type != "cuda":
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.compute()
        torch.cuda.current_stream().wait_stream(side)
        self.synchronize()

    def capture(self):
        """Records a step as one CUDA graph, whose replay costs a single launch."""
        if self.device.type == "cuda":
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.compute()
            self.synchronize()

    def advance(self, steps):
        """Trains for so many steps."""
        for _ in range(steps):
            self.draw()
            self.rate.fill_(learning_rate(self.config, self.step, self.steps or 10**9))
            if self.graph:
                self.graph.replay()
            else:
                self.compute()
            self.step += 1

    def plan(self):
        """Times some steps, and fixes the number of all by the budget unless it is given."""
        self.capture()
        self.prose_loss.zero_()
        # these steps count as training; the first ones are not timed
        first, timed = self.config["timed"]
        self.advance(first)
        each = self.timed(timed)
        started = time.time()
        self.evaluate(first + timed)
        cost = time.time() - started
        tokens = self.config["batch"] * self.length
        self.setup |= {
            "setup_seconds": self.elapsed(),
            "step_seconds": each,
            "bytes_per_second": tokens / each,
            "evaluation_seconds": cost,
            "peak_memory": torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0,
        }
        self.fit(each, cost * self.config["evaluations"])
        print(f"{self.name}: {json.dumps(self.setup)} steps {self.steps}", flush=True)

    def fit(self, each, evaluations):
        """Sets the number of steps: those that were asked for, or as many as there is time for at `each` seconds a step."""
        left = self.seconds - self.elapsed() - CLOSING - evaluations
        possible = self.step + max(1, int(left / each))
        self.steps = min(self.wanted or possible, possible)
        if self.wanted and self.steps < self.wanted:
            print(f"{self.name}: time for {self.steps} of {self.wanted} steps, {each * 1e3:.2f} ms each", flush=True)

    def timed(self, steps):
        """Trains for so many steps; gives the seconds of one."""
        self.synchronize()
        started = time.time()
        self.advance(steps)
        self.synchronize()
        return (time.time() - started) / steps

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def evaluate(self, since):
        """Appends a row to the curve; `since` steps have gone into the training loss."""
        spec, batch = models.CONFIG["evaluation"], self.config["batch"]
        found = evaluate.windows("validation", self.length, self.device)
        sample = found[:: max(1, len(found) // (2 * batch))][: 2 * batch]
        row = {
            "step": self.step,
            "bytes": self.step * batch * self.length,
            "seconds": round(self.elapsed(), 1),
            "train_bits": self.prose_loss.item() / since / math.log(2),
            "validation_bits": evaluate.bits_per_byte(self.model, sample, batch),
        }
        few = {**spec, "recall_cases": batch}
        for distance in spec["distances"][1::2]:
            row[f"recall_{distance}"] = evaluate.recall_accuracy(self.model, distance, few, batch, self.length, self.device)
        self.prose_loss.zero_()
        self.rows.append(row)
        print(self.name, json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
        return row

    def facts(self, **more):
        return {
            "model": self.name,
            "seed": self.config["seed"],
            "steps": self.step,
            "planned_steps": self.steps,
            "asked_steps": self.wanted,
            "bytes": self.step * self.config["batch"] * self.length,
            "parameters": models.parameters(self.model),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "torch": torch.__version__,
            "config": self.config,
            **self.setup,
            **more,
        }

    def keep(self, **more):
        """Writes weights, curve and facts as they are now; gives the model of the written weights."""
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.out / f"{self.name}.curve.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[-1]))
            writer.writeheader()
            writer.writerows(self.rows)
        facts = self.facts(**more)
        (self.out / f"{self.name}.facts.json").write_text(json.dumps(facts, indent=2) + "\n")
        return export.write(self.model, self.out, {k: facts[k] for k in ("model", "seed", "steps", "bytes")})

    def train(self):
        self.compile()
        self.setup["compile_seconds"] = self.elapsed()
        with self.alone():
            self.plan()
            if self.turns:
                return self.run()
        self.run()

    def run(self):
        count = self.config["evaluations"]
        for n in range(1, count + 1):
            since = round(self.steps * n / count) - self.step
            if since <= 0:
                continue
            each = self.timed(since)
            row = self.evaluate(since)
            # the last evaluation also is the best one unless something went wrong; a cut run keeps the best so far
            if row["validation_bits"] < self.best:
                self.best = row["validation_bits"]
                self.keep(unfinished=n < count, validation_bits=self.best)
            if n < count:
                self.fit(each, self.setup["evaluation_seconds"] * (count - n))
        self.finish()

    def finish(self):
        """The last numbers, those of the written weights, and the reference logits."""
        self.graph = None
        exact = self.keep(unfinished=False)
        spec, batch = models.CONFIG["evaluation"], self.config["batch"]
        self.model.load_state_dict(exact.state_dict())
        results = {}
        for split in ("validation", "test"):
            found = evaluate.windows(split, self.length, self.device)[: self.config["windows"]]
            results[f"{split}_bits"] = evaluate.bits_per_byte(self.model, found, batch)
        results["recall"] = {
            d: evaluate.recall_accuracy(self.model, d, spec, batch, self.length, self.device) for d in spec["distances"]
        }
        facts = self.facts(unfinished=False, seconds=round(self.elapsed(), 1), **results)
        (self.out / f"{self.name}.facts.json").write_text(json.dumps(facts, indent=2) + "\n")
        card.write(self.out, self.name)
        with torch.compiler.set_stance("force_eager"):
            export.write_reference(self.model, self.out)
            for distance in spec["long_distances"]:
                length = -(-(distance + 128) // 64) * 64
                few = {**spec, "recall_cases": 16}
                accuracy = evaluate.recall_accuracy(self.model, distance, few, 8, length, self.device)
                results["recall"][distance] = accuracy
        facts = self.facts(unfinished=False, seconds=round(self.elapsed(), 1), **results)
        (self.out / f"{self.name}.facts.json").write_text(json.dumps(facts, indent=2) + "\n")
        card.write(self.out, self.name)
        print(self.name, "done", json.dumps(results), flush=True)
