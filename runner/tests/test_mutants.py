# SPDX-License-Identifier: GPL-2.0
"""Tests of xm.mutants: patches, what is wrong with them, and verdicts."""
import tempfile
import unittest
from pathlib import Path

from xm import mutants

TEXT = """All is well.

Caught-by: race_a race.first
Caught-by: race_b two
---
--- a/src/x.c
+++ b/src/x.c
@@ -1,5 +1,5 @@
 a
 b
-c
+x
 d
 e
"""


class Mutants(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.top = Path(tmp.name)
        (self.top / "src").mkdir()
        self.source = self.top / "src/x.c"
        self.source.write_text("a\nb\nc\nd\ne\n")

    def mutant(self, text=TEXT):
        (self.top / "m.patch").write_text(text)
        return mutants.Mutant(self.top / "m.patch")

    def test_patch(self):
        m = self.mutant()
        self.assertEqual(
            ("m", "All is well.", [("race_a", "race.first"), ("race_b", "two")]),
            (m.name, m.sentence, m.tests))
        self.assertEqual([], m.wrong(self.top))
        self.assertEqual("a\nb\nc\nd\ne\n", self.source.read_text())
        self.assertEqual("", m.apply(self.top))
        self.assertEqual("a\nb\nx\nd\ne\n", self.source.read_text())
        self.assertIn("src/x.c", m.apply(self.top, "--check"))

    def test_code_around_has_changed(self):
        self.source.write_text("1\n2\nA\nb\nc\nd\nE\n")
        self.assertEqual("", self.mutant().apply(self.top))
        self.assertEqual("1\n2\nA\nb\nx\nd\nE\n", self.source.read_text())

    def test_code_has_changed(self):
        self.source.write_text("a\nb\nC\nd\ne\n")
        wrong, = self.mutant().wrong(self.top)
        self.assertIn("runner/mutants/m.patch does not apply", wrong)
        self.assertIn("src/x.c", wrong)

    def test_header(self):
        wrong = self.mutant(f"m\n---{TEXT.partition('---')[2]}").wrong(self.top)
        self.assertEqual(2, len(wrong))
        self.assertIn("what it breaks", wrong[0])
        self.assertIn("Caught-by", wrong[1])

    def test_verdict(self):
        for sound, with_mistake, said in (
                ("0", "1", "caught (1)"), ("0", "crash", "caught (crash)"),
                ("0", "0", "MISSED"), ("0", "none", "MISSED")):
            self.assertEqual(said, mutants.verdict(sound, with_mistake))
        # All tests skipped
        self.assertIn("BROKEN", mutants.verdict("4", "1"))
        self.assertIn("MISSED", mutants.verdict("0", "4"))


if __name__ == "__main__":
    unittest.main()
