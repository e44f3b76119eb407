# SPDX-License-Identifier: GPL-2.0
"""Skips are expected by name, and the lists are made from runs."""
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from xm import kernels, results, skips
from xm.skips import Row
from xm.util import Usage

from .test_results import program, test


class Enforce(unittest.TestCase):
    ROWS = [Row("race_*", "f.three", "no device"), Row("race_c", "*", "not here")]

    def enforce(self, programs, complete=(), whole=False, rows=None):
        kernel = {"programs": list(programs)}
        skips.enforce(kernel, self.ROWS if rows is None else rows, complete, whole)
        return results.count(kernel["programs"])

    def skips(self):
        return program("race_a", test("f.one"), test("f.three", "skip", "no device"))

    def test_expected(self):
        self.assertEqual(0, self.enforce([self.skips()], ["race_a"])["failed"])

    def test_unexpected(self):
        self.assertEqual(1, self.enforce([self.skips()], ["race_a"], rows=[])["failed"])
        self.assertEqual(1, self.enforce([self.skips()], whole=True, rows=[])["failed"])

    def test_unexpected_with_arguments(self):
        self.assertEqual(0, self.enforce([self.skips()], rows=[])["failed"])

    def test_missing(self):
        programs = [program("race_c", test("f.one"))]
        self.assertEqual(1, self.enforce(programs, ["race_c"], rows=self.ROWS[1:])["failed"])
        # It ran in part, or not to its end.
        self.assertEqual(0, self.enforce(programs, [], rows=self.ROWS[1:])["failed"])

    def test_missing_in_a_whole_run(self):
        self.assertEqual(1, self.enforce([self.skips()], ["race_a"], True)["failed"])

    def test_may_skip(self):
        rows = [Row("race_a", "f.*", "no page", True)]
        self.assertEqual(0, self.enforce([self.skips()], ["race_a"], rows=rows)["failed"])
        self.assertEqual(0, self.enforce([program("race_a", test("f.one"))], ["race_a"],
                                         True, rows)["failed"])


class Lists(unittest.TestCase):
    def test_can_be_read(self):
        for path in skips.LISTS.glob("*"):
            with self.subTest(path.name):
                kernels.kernel(path.name)
                self.assertTrue(all(r.program and r.test and r.reason
                                    for r in skips.expected(path.name)))

    def test_name_with_a_number_sign(self):
        """A cell of race_holds has one."""
        row = Row("race_holds", "a.b@f#2", "not reached")
        with tempfile.TemporaryDirectory() as tmp, \
                mock.patch.object(skips, "LISTS", Path(tmp)):
            (Path(tmp) / "k").write_text(f"# A comment\n\n{row}\n")
            self.assertEqual([row], skips.expected("k"))

    def shorten(self, skipped, everything):
        return sorted(str(row) for row in skips.shorten("p", skipped, everything))

    def test_whole_program(self):
        self.assertEqual(["p:*  # r"], self.shorten({"a.x": "r", "b.y": "r"},
                                                    {"a.x", "b.y"}))

    def test_glob_covers_nothing_that_ran(self):
        self.assertEqual(["p:a.*  # r"], self.shorten({"a.x": "r", "a.y": "r"},
                                                      {"a.x", "a.y", "b.y"}))
        self.assertEqual(["p:a.x  # r", "p:a.y  # r"],
                         self.shorten({"a.x": "r", "a.y": "r"}, {"a.x", "a.y", "a.z"}))

    def test_glob_has_one_reason(self):
        self.assertEqual(["p:a.x  # r", "p:a.y  # s"],
                         self.shorten({"a.x": "r", "a.y": "s"}, {"a.x", "a.y"}))

    def test_column_of_a_matrix(self):
        self.assertEqual(["p:*.ksm.*  # r"], self.shorten(
            {"a.ksm.w": "r", "b.ksm.v": "r"}, {"a.ksm.w", "b.ksm.v", "a.fork.w"}))

    def test_none_is_written_for_dkms(self):
        """Its modules lack the sample, which a list of the stock kernel must not say."""
        with self.assertRaises(Usage):
            skips.write({"name": "dkms-7.x", "programs": []})

    def test_written_list_is_obeyed(self):
        """A list made from a run accepts that run, also if it had failed for its skips;
        rows that may skip stay."""
        ran = program("p", test("a.x"), test("a.y", "skip", "r"),
                      test("b.y", "fail", skips.UNEXPECTED + "s"), test("c.z", "skip", "t"))
        kernel = {"name": "stock-7.x", "programs": [ran]}
        with tempfile.TemporaryDirectory() as tmp, \
                mock.patch.object(skips, "LISTS", Path(tmp)):
            (Path(tmp) / "stock-7.x").write_text("?p:c.*  # t\n")
            skips.write(kernel)
            rows = skips.expected("stock-7.x")
        self.assertEqual(["p:a.y  # r", "p:b.y  # s", "?p:c.*  # t"], list(map(str, rows)))
        ran["tests"][2].update(result="skip", reason="s")
        skips.enforce(kernel, rows, ["p"], True)
        self.assertEqual(0, results.count(kernel["programs"])["failed"])
