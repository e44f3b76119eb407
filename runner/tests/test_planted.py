# SPDX-License-Identifier: GPL-2.0
"""Planting faults, and what their runs show."""
import unittest

from xm import kernels, planted
from xm.planted import Counts, Insert, Step
from xm.util import Error

SOURCE = """static int first(int a)
{
	lock();
	return a;
}

static int second(int a,
		  int b)
{
	lock();
	lock();
	return a;
}
"""


class Inserting(unittest.TestCase):
    def test_behind_what_matches_in_the_function(self):
        got = planted.insert(SOURCE, Insert("a.c", "first", r"\tlock\(\);\n", "\tx();\n"))
        self.assertIn("\tlock();\n\tx();\n\treturn a;\n}\n\nstatic int second", got)
        self.assertEqual(len(SOURCE) + 6, len(got))

    def test_before_it(self):
        got = planted.insert(SOURCE, Insert("a.c", "second", r"(?=\treturn a;\n)", "\tx();\n"))
        self.assertTrue(got.endswith("\tlock();\n\tx();\n\treturn a;\n}\n"))

    def test_only_if_there_is_one_place(self):
        for function, anchor in (("second", r"lock\(\);"), ("first", "unlock"),
                                 ("third", "lock"), ("", r"return a;")):
            with self.assertRaises(Error):
                planted.insert(SOURCE, Insert("a.c", function, anchor, "x"))


class Faults(unittest.TestCase):
    def test_table(self):
        names = [fault.name for fault in planted.FAULTS]
        self.assertEqual(len(names), len(set(names)))
        for fault in planted.FAULTS:
            self.assertTrue(all(f"xm_planted({fault.name})" in i.text
                                for i in fault.inserts), fault.name)
        self.assertTrue(kernels.kernel("7.3-planted").planted)

    def verdict(self, off, on):
        fault = planted.FAULTS[0]
        found = {step: Counts(0, 3, 0, 0) for step in planted.steps_of(fault)}
        found[Step(fault, -1, False)], found[Step(fault, -1, True)] = off, on
        found[Step(fault, 0, True)] = planted.CRASH
        return planted.verdict(fault, found)

    def test_found(self):
        good, row = self.verdict(Counts(0, 100, 0, 0), Counts(99, 1, 0, 60))
        self.assertTrue(good)
        self.assertIn("| 99 | 0 of 100 |", row)
        self.assertIn(f"{planted.FAULTS[0].others[0].removeprefix(planted.MATRIX)}` 1,", row)

    def test_not_found_often_enough_or_never_run(self):
        self.assertFalse(self.verdict(Counts(0, 100, 0, 0), Counts(98, 2, 0, 9))[0])
        self.assertFalse(self.verdict(Counts(0, 0, 100, 0), Counts(100, 0, 0, 9))[0])
        self.assertFalse(self.verdict(Counts(1, 99, 0, 0), Counts(100, 0, 0, 9))[0])
