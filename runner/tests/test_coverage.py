# SPDX-License-Identifier: GPL-2.0
"""When a run with counts fails for its lines."""
import contextlib
import io
import unittest

from xm import coverage
from xm.util import FAILED, OK, UNJUDGED


class Status(unittest.TestCase):
    def status(self, tests, percent, of_run=OK):
        with contextlib.redirect_stderr(io.StringIO()):
            return coverage.status(tests, percent, of_run)

    def test_all_tests_have_to_run_most_lines(self):
        # What the Makefile passes on without TESTS, and what the command line takes
        for tests in ("*", ""):
            self.assertEqual(self.status(tests, 94.9), FAILED)
            self.assertEqual(self.status(tests, 95.0), OK)

    def test_some_tests_may_run_few_lines(self):
        self.assertEqual(self.status("api_*", 3.0), OK)

    def test_a_run_that_failed_has_failed(self):
        self.assertEqual(self.status("*", 97.0, UNJUDGED), UNJUDGED)
