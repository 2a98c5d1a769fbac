"""Synthetic recall: key-value pairs among prose, and questions for them at known distances.

Everything is drawn from one small integer generator, so that another language can write the same bytes (README.md, "Recall").
"""

KEY_BYTES, VALUE_BYTES = 3, 3
DEFINITION_BYTES = 9  # @KEY=val and a line end
QUESTION_BYTES = 5  # ?KEY=
SHORTEST = 32
UPPER, LOWER = ord("A"), ord("a")
SPACE, LINE_END, AT, QUESTION, EQUALS = b" \n@?="


class Mulberry32:
    """A generator of 32 bits of state; `below(n)` is uniform up to a bias of n / 2^32."""

    def __init__(self, seed):
        self.state = seed & 0xFFFFFFFF

    def next(self):
        self.state = (self.state + 0x6D2B79F5) & 0xFFFFFFFF
        t = self.state
        t = ((t ^ (t >> 15)) * (t | 1)) & 0xFFFFFFFF
        t ^= (t + (((t ^ (t >> 7)) * (t | 61)) & 0xFFFFFFFF)) & 0xFFFFFFFF
        return t ^ (t >> 14)

    def below(self, n):
        return (self.next() * n) >> 32


def plain(text):
    """Filler out of a text: bytes outside printable ASCII, and those that the pairs are marked with, become spaces."""
    kept = bytes(SPACE if b < 32 or b > 126 or b in (AT, QUESTION, EQUALS) else b for b in range(256))
    return text.translate(kept)


def filler(rng, prose, length):
    """`length` bytes of prose from a random place, the last one a line end; `length` >= 1."""
    offset = rng.below(len(prose) - length)
    return prose[offset : offset + length - 1] + b"\n"


def letters(rng, first, count):
    return bytes(first + rng.below(26) for _ in range(count))


def new_key(rng, used, count=KEY_BYTES):
    """A key that this sequence does not have yet."""
    while True:
        key = letters(rng, UPPER, count)
        if key not in used:
            used.add(key)
            return key


def definition(key, value):
    return b"@" + key + b"=" + value + b"\n"


def training_sequence(seed, prose, length):
    """A sequence with many questions: (bytes, mask of the answers' bytes). Half of the seeds give pairs among prose, half drill."""
    rng = Mulberry32(seed)
    return drill(rng, length) if rng.below(2) else scattered(rng, prose, length)


def masked(pieces, answers, length):
    mask = bytearray(length)
    for at in answers:
        for byte in range(at, min(at + VALUE_BYTES, length)):
            mask[byte] = 1
    return b"".join(pieces)[:length], bytes(mask)


def drill(rng, length):
    """Nothing but pairs and questions: 2 to 64 pairs asked for over and over, with keys of 1 to 3 letters.

    Most answers stand nearby and a key's last letter often tells it: copying begins here. Of scattered pairs alone, dense
    attention learned nothing in 9000 steps; with drill among them it answers nearly all after 2500.
    """
    key_bytes, pairs = 1 + rng.below(KEY_BYTES), 2 << rng.below(6)
    if key_bytes == 1:
        pairs = min(pairs, 16)
    table, used, pieces, answers, size = [], set(), [], [], 0
    while size < length:
        if not table or (len(table) < pairs and rng.below(2)):
            key, value = new_key(rng, used, key_bytes), letters(rng, LOWER, VALUE_BYTES)
            table.append((key, value))
            piece = definition(key, value)
        else:
            key, value = table[rng.below(len(table))]
            answers.append(size + 2 + key_bytes)
            piece = b"?" + key + b"=" + value + b"\n"
        pieces.append(piece)
        size += len(piece)
    return masked(pieces, answers, length)


def scattered(rng, prose, length):
    """Many pairs among prose, each asked for at most once.

    The distance of a question is drawn log-uniformly: an octave from 32 bytes to the length, then a place in it. The pair
    nearest to that distance is asked for, and none where no pair is as far back.
    """
    used, waiting = set(), []
    pieces, answers, size = [], [], 0
    longest = 16 << rng.below(4)
    octaves = (length // SHORTEST).bit_length() - 1
    while size < length:
        kind = rng.below(8)
        place = size + QUESTION_BYTES
        octave = SHORTEST << rng.below(octaves)
        wanted = place - (octave + rng.below(octave))
        # `waiting` is in the order of the text, so its first pair is the one furthest back
        if kind < 3 and waiting and waiting[0][0] <= wanted:
            far = sum(at <= place - SHORTEST for at, _, _ in waiting)
            _, key, value = waiting.pop(min(range(far), key=lambda i: abs(waiting[i][0] - wanted)))
            answers.append(place)
            piece = b"?" + key + b"=" + value + b"\n"
        elif kind < 5:
            key, value = new_key(rng, used), letters(rng, LOWER, VALUE_BYTES)
            waiting.append((size + 1 + KEY_BYTES + 1, key, value))
            piece = definition(key, value)
        else:
            piece = filler(rng, prose, 8 + rng.below(longest))
        pieces.append(piece)
        size += len(piece)
    return masked(pieces, answers, length)


def evaluation_case(seed, prose, distance):
    """One question: (text that ends with the right answer, index of the answer's first byte).

    From the first byte of the value in its definition to that of the answer are `distance` bytes, at least 32; between them
    are prose and one other definition for about every 64 bytes, at most 8.
    """
    rng = Mulberry32(seed)
    used = set()
    key, value = new_key(rng, used), letters(rng, LOWER, VALUE_BYTES)
    pieces = [filler(rng, prose, 16 + rng.below(48)), definition(key, value)]
    gap = distance - VALUE_BYTES - 1 - QUESTION_BYTES
    others = min(8, gap // 64)
    rest = gap - others * DEFINITION_BYTES
    share = rest // (others + 1)
    pieces.append(filler(rng, prose, share + rest % (others + 1)))
    for _ in range(others):
        pieces.append(definition(new_key(rng, used), letters(rng, LOWER, VALUE_BYTES)))
        pieces.append(filler(rng, prose, share))
    pieces.append(b"?" + key + b"=")
    text = b"".join(pieces)
    return text + value, len(text)
