"""python -m unittest training/test_recall.py: the generator of the recall task, no GPU and no packages needed."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import recall

PROSE = recall.plain(b"It was a bright cold day in spring, and the clocks of the town were late. " * 40)


class Recall(unittest.TestCase):
    def test_generator_is_the_published_one(self):
        rng = recall.Mulberry32(1)
        self.assertEqual([rng.next() for _ in range(3)], [2693262067, 11749833, 2265367787])

    def test_case_has_its_distance(self):
        for distance in (32, 33, 64, 100, 128, 512, 1000, 2500):
            text, at = recall.evaluation_case(7, PROSE, distance)
            key, value = text[at - 4 : at - 1], text[at:]
            self.assertEqual(text.count(b"@" + key + b"="), 1)
            self.assertEqual(text.index(b"@" + key + b"=" + value) + 5 + distance, at)

    def test_sequences_ask_what_they_told(self):
        distances = []
        for seed in range(200):
            text, mask = recall.training_sequence(seed, PROSE, 1024)
            self.assertEqual((len(text), len(mask)), (1024, 1024))
            at = mask.find(1)
            while at >= 0 and at + 3 <= 1024:
                key, value = text[at - 4 : at - 1], text[at : at + 3]
                told = text.index(b"@" + key + b"=" + value)
                self.assertEqual(text.count(b"?" + key + b"="), 1)
                distances.append(at - told - 5)
                at = mask.find(1, at + 3)
        self.assertGreaterEqual(min(distances), 32)
        octaves = [sum(32 << o <= d < 64 << o for d in distances) / len(distances) for o in range(5)]
        self.assertGreater(min(octaves), 0.08, octaves)


if __name__ == "__main__":
    unittest.main()
