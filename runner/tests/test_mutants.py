# SPDX-License-Identifier: GPL-2.0
"""Tests of xm.mutants: patches, what is wrong with them, and verdicts."""
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from xm import check, mutants
from xm.util import Error

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

    def steps(self, *guests):
        """Each guest prints these lines, and may be one that could not be judged."""
        run = mock.Mock(results={})
        shell = mock.Mock()
        with mock.patch("xm.check.command", side_effect=[
                ({"judged": judged}, lines) for judged, *lines in guests]), \
                mock.patch("xm.check.say"):
            found = check.steps(run, None, ["a 1", "a 2", "b 1"], shell, None)
        return found, [call.args[0] for call in shell.call_args_list]

    def test_steps_go_on_after_a_guest_that_died(self):
        found, asked = self.steps(
            (True, "step: a 1 begins", "step: a 1 ends 0", "step: a 2 begins"),
            (True, "step: b 1 begins", "step: b 1 ends 1 2"))
        self.assertEqual({"a 1": "0", "a 2": None, "b 1": "1 2"}, found)
        self.assertEqual([["a 1", "a 2", "b 1"], ["b 1"]], asked)

    def test_step_is_made_again_if_its_guest_was_lost(self):
        found, asked = self.steps(
            ("QEMU died", "step: a 1 begins", "step: a 1 ends 0", "step: a 2 begins"),
            (True, "step: a 2 begins", "step: a 2 ends 0", "step: b 1 begins",
             "step: b 1 ends 0"))
        self.assertEqual({"a 1": "0", "a 2": "0", "b 1": "0"}, found)
        self.assertEqual(["a 2", "b 1"], asked[1])

    def test_guest_that_gets_nowhere_is_an_error(self):
        with self.assertRaises(Error):
            self.steps(("QEMU died", "step: a 1 begins"))
