"""Trains the models of the zoo side by side on the GPUs that are there.

    python training/train.py --model all --steps 9000 --seconds 560
    python training/train.py --model kda --steps 8000 --seed 1

Needs what `python training/data.py` built. One process a model. The models are dealt out to the GPUs by what a step of each
costs; `--per-gpu` of a GPU's share train at the same time, the rest wait in line.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import batches
import figures
import model as models

HERE = Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all", help="a name, several with commas, or all")
    parser.add_argument("--config", help="JSON file whose entries replace those of `training` in config.json")
    parser.add_argument("--seconds", type=float, help="budget of the whole run: steps are left out where it is short")
    parser.add_argument("--steps", type=int, help="number of steps; fewer if the budget has no time for them")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--gpus", type=int, help="default: all that are visible")
    parser.add_argument("--per-gpu", type=int, default=3, help="models that train on one GPU at the same time")
    parser.add_argument("--turns", action="store_true", help="compile at the same time, but train one after the other")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--out", type=Path, default=HERE / ".runs" / "last")
    parser.add_argument("--pack", type=Path, help="folder that gets a few archives of all results, kept up to date")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
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
    seconds = args.until - time.time()
    recall_file = args.out / "recall.npy"
    Trainer(args.worker, config, recall_file, args.out, seconds, args.steps, not args.eager, args.turns).train()


def deal(names, gpus):
    """A line of models for each GPU, the expensive ones first and every one where the least is waiting."""
    costs = models.CONFIG["step_milliseconds"]
    lines, loads = [[] for _ in range(gpus)], [0.0] * gpus
    for name in sorted(names, key=lambda name: -costs[name]):
        gpu = loads.index(min(loads))
        lines[gpu].append(name)
        loads[gpu] += costs[name]
    print("lines:", [(line, round(load, 1)) for line, load in zip(lines, loads)], flush=True)
    return lines


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
        # made beside the results and copied when whole, as the run may be cut at any time
        with tarfile.open(out / archive.name, "w") as tar:
            for file in files:
                tar.add(file, file.name)
        shutil.copyfile(out / archive.name, archive)


def main():
    args = arguments()
    if args.worker:
        return work(args)
    begun = time.time()
    names = list(models.CONFIG["models"]) if args.model == "all" else args.model.split(",")
    config = settings(args)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.pack:
        args.pack.mkdir(parents=True, exist_ok=True)
    length = models.CONFIG["skeleton"]["context"] + 1
    batches.write_recall(args.out / "recall.npy", config["recall_sequences"], length, config["seed"] * 10**6, os.cpu_count())
    print(f"recall sequences: {time.time() - begun:.1f} s", flush=True)
    until = begun + (args.seconds or config["seconds"])
    lines = deal(names, max(1, visible_gpus() if args.gpus is None else args.gpus))
    running, failed, packed = [], [], {}
    while running or any(lines):
        for gpu, line in enumerate(lines):
            if not line or sum(on == gpu for _, _, on in running) >= args.per_gpu:
                continue
            name = line.pop(0)
            # compilers of several models share the cores
            threads = str(max(2, os.cpu_count() // len(names)))
            env = os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu), "OMP_NUM_THREADS": "2", "TORCHINDUCTOR_COMPILE_THREADS": threads}
            command = [sys.executable, HERE / "train.py", *sys.argv[1:], "--worker", name, "--until", str(until)]
            running.append((subprocess.Popen(command, env=env), name, gpu))
        time.sleep(0.5)
        for entry in list(running):
            process, name, gpu = entry
            if process.poll() is None:
                continue
            running.remove(entry)
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
