"""python -m unittest training/test_recall.py: the generator of the recall task, no GPU and no packages needed."""

import re
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

    def test_scattered_pairs_are_asked_for_once_at_all_distances(self):
        distances = []
        for seed in range(200):
            text, mask = recall.scattered(recall.Mulberry32(seed), PROSE, 1024)
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

    def test_drill_asks_what_it_told(self):
        for seed in range(200):
            text, mask = recall.drill(recall.Mulberry32(seed), 1024)
            self.assertEqual((len(text), len(mask)), (1024, 1024))
            told, asked = {}, bytearray(1024)
            for line in re.finditer(rb"([@?])([A-Z]{1,3})=([a-z]{3})\n", text):
                kind, key, value = line.groups()
                if kind == b"@":
                    self.assertNotIn(key, told)
                    told[key] = value
                else:
                    self.assertEqual(told[key], value)
                    asked[line.start(3) : line.end(3)] = b"\1\1\1"
            whole = text.rindex(b"\n")
            self.assertEqual(mask[:whole], bytes(asked[:whole]))
            self.assertLessEqual(len(told), 64)

    def test_half_of_the_sequences_are_drill(self):
        drills = sum(b" " not in recall.training_sequence(seed, PROSE, 1024)[0] for seed in range(400))
        self.assertTrue(150 < drills < 250, drills)


if __name__ == "__main__":
    unittest.main()
