"""Trains the models of the zoo side by side on the GPUs that are there.

    python training/train.py --model all --seconds 200
    python training/train.py --model kda --steps 4000 --seed 1

Needs what `python training/data.py` built. One process a model; `--per-gpu` of them share a GPU; the rest wait in line.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import batches
import figures
import model as models

HERE = Path(__file__).resolve().parent
# Those that take longest first, so that the last places in line are short.
ORDER = ["moba", "rwkv7", "kda", "gated-deltanet", "hybrid", "gla", "mamba2", "retnet", "window", "attention"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all", help="a name, several with commas, or all")
    parser.add_argument("--config", help="JSON file whose entries replace those of `training` in config.json")
    parser.add_argument("--seconds", type=float, help="budget of one model, compilation and evaluation counted")
    parser.add_argument("--steps", type=int, help="number of steps in place of what the budget allows")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--gpus", type=int, help="default: all that are visible")
    parser.add_argument("--per-gpu", type=int, default=1, help="models that train on one GPU at the same time")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--out", type=Path, default=HERE / ".runs" / "last")
    parser.add_argument("--pack", type=Path, help="folder that gets a few archives of all results, kept up to date")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def settings(args):
    config = dict(models.CONFIG["training"])
    if args.config:
        config |= json.loads(Path(args.config).read_text())
    config |= {name: value for name in ("batch", "seed") if (value := getattr(args, name)) is not None}
    return config


def work(args):
    """In a process of its own: one model."""
    from trainer import Trainer

    config = settings(args)
    seconds = args.seconds or config["seconds"]
    recall_file = args.out / "recall.npy"
    Trainer(args.worker, config, recall_file, args.out, seconds, args.steps, not args.eager).train()


def visible_gpus():
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True) if has_nvidia() else None
    return len(found.stdout.splitlines()) if found else 0


def has_nvidia():
    return any((Path(folder) / "nvidia-smi").exists() for folder in os.environ["PATH"].split(":"))


def pack(out, folder, names, packed):
    """Archives of two models each, rewritten when something in them is new: few files of a few MB."""
    for at in range(0, len(names), 2):
        files = [f for name in names[at : at + 2] for f in sorted(out.glob(f"{name}.*"))]
        stamp = [(f, f.stat().st_mtime) for f in files]
        archive = folder / f"zoo-{at // 2}.tar"
        if not files or packed.get(archive) == stamp:
            continue
        packed[archive] = stamp
        with tarfile.open(out / archive.name, "w") as tar:
            for file in files:
                tar.add(file, file.name)
        (out / archive.name).replace(archive) if same_disk(out, folder) else archive.write_bytes((out / archive.name).read_bytes())


def same_disk(a, b):
    return a.stat().st_dev == b.stat().st_dev


def main():
    args = arguments()
    if args.worker:
        return work(args)
    begun = time.time()
    names = [n for n in ORDER if n in models.CONFIG["models"]] if args.model == "all" else args.model.split(",")
    config = settings(args)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.pack:
        args.pack.mkdir(parents=True, exist_ok=True)
    length = models.CONFIG["skeleton"]["context"] + 1
    batches.write_recall(args.out / "recall.npy", config["recall_sequences"], length, config["seed"] * 10**6, os.cpu_count())
    print(f"recall sequences: {time.time() - begun:.1f} s", flush=True)
    gpus = visible_gpus() if args.gpus is None else args.gpus
    free = [gpu for _ in range(args.per_gpu) for gpu in range(max(1, gpus))]
    waiting, running, failed, packed = list(names), [], [], {}
    passed = [a for a in sys.argv[1:]]
    while waiting or running:
        while waiting and free:
            name, gpu = waiting.pop(0), free.pop(0)
            # compilers of several models share the cores
            threads = str(max(2, os.cpu_count() // max(1, len(free) + len(running) + 1)))
            env = os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu), "OMP_NUM_THREADS": "2", "TORCHINDUCTOR_COMPILE_THREADS": threads}
            command = [sys.executable, HERE / "train.py", *passed, "--worker", name]
            running.append((subprocess.Popen(command, env=env), name, gpu))
        time.sleep(1)
        for entry in list(running):
            process, name, gpu = entry
            if process.poll() is None:
                continue
            running.remove(entry)
            free.append(gpu)
            if process.returncode:
                failed.append(name)
                print(f"{name} failed with {process.returncode}", flush=True)
            figures.draw(args.out, names)
        if args.pack:
            pack(args.out, args.pack, names, packed)
    figures.draw(args.out, names)
    if args.pack:
        pack(args.out, args.pack, names, packed)
        for file in args.out.glob("curves.*"):
            (args.pack / file.name).write_bytes(file.read_bytes())
    print(f"all done after {time.time() - begun:.1f} s; failed: {failed or 'none'}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
