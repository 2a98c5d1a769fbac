"""The model card: what a model is, what it was trained on, by which command, and what it reached."""

import json

import data
import model as models

TITLES = {
    "attention": "softmax attention with RoPE and grouped key/value heads",
    "window": "sliding-window attention with sinks",
    "moba": "mixture of block attention (MoBA)",
    "gated-deltanet": "Gated DeltaNet",
    "kda": "Kimi Delta Attention (KDA)",
    "gla": "gated linear attention (GLA)",
    "retnet": "retention (RetNet)",
    "mamba2": "Mamba-2 (SSD)",
    "rwkv7": "RWKV-7",
    "hybrid": "three Gated DeltaNet layers to one of softmax attention",
}


def write(directory, name):
    facts = json.loads((directory / f"{name}.facts.json").read_text())
    manifest = json.loads(data.MANIFEST.read_text())
    config, trained = models.model_config(name), facts["config"]
    rows = [
        ("Parameters", f"{facts['parameters']:,}"),
        ("Weights", f"{name}.safetensors, int8 by rows, the rest float32"),
        ("Seed", facts["seed"]),
        ("Steps", f"{facts['steps']} of {trained['batch']} x {config['context']} bytes"),
        ("Bytes seen", f"{facts['bytes']:,}"),
        ("Device", f"{facts['device']}, PyTorch {facts['torch']}"),
        ("Validation", f"{facts['validation_bits']:.4f} bits per byte"),
    ]
    if "test_bits" in facts:
        rows.append(("Test", f"{facts['test_bits']:.4f} bits per byte"))
    text = [
        f"# {name}",
        "",
        f"A byte-level language model of the wattn zoo whose token mixer is {TITLES[name]}.",
        "",
        "| | |",
        "| --- | --- |",
        *[f"| {key} | {value} |" for key, value in rows],
        "",
        f"Command: `python training/train.py --model {name} --steps {facts['steps']} --seed {facts['seed']}`",
        "",
        "Losses are those of the int8 weights, on windows of 1024 bytes that each start from nothing.",
        "",
        "## Recall",
        "",
        "Share of right answers, by the bytes between a value and the question for it; trained with 1024 bytes of context.",
        "",
        "| distance | " + " | ".join(map(str, facts.get("recall", {}))) + " |",
        "| --- |" + " --- |" * len(facts.get("recall", {})),
        "| accuracy | " + " | ".join(f"{x:.2f}" for x in facts.get("recall", {}).values()) + " |",
        "",
        "## Data",
        "",
        "Public-domain documents, split by document (training/manifest.json), and synthetic recall sequences.",
        "",
        "| split | bytes | sha256 |",
        "| --- | --- | --- |",
        *[f"| {split} | {x['bytes']:,} | `{x['sha256']}` |" for split, x in manifest["splits"].items()],
        "",
        "## Architecture",
        "",
        "```json",
        json.dumps(config, indent=1),
        "```",
        "",
    ]
    (directory / f"{name}.md").write_text("\n".join(text))
