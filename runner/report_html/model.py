# SPDX-License-Identifier: GPL-2.0
"""Results of runs, as results.json has them: reading, merging, comparing."""
import collections
import re

from xm import results
from xm.util import Error

# The worst first
RESULTS = ("fail", "xpass", "xfail", "skip", "pass")
MATRIX, HOLDS = "race_matrix", "race_holds"
UNREACHABLE = "unreachable"


class Kernel:
    """One kernel of a run: its results as a table."""

    def __init__(self, data, run):
        self.data, self.run, self.name = data, run, data["name"]
        self.reports, self.programs, self.logs = [], [], []
        # (program, test name) -> the test
        self.tests = {}
        self.seconds, self.judged = 0, True

    def add(self, data):
        """Results of the same kernel: this run's, or another shard's."""
        self.logs += data.get("logs", [])
        self.seconds = max(self.seconds, data.get("seconds") or 0)
        if data.get("judged", True) is not True:
            self.judged = data["judged"] or "not judged"
        for program in data.get("programs", []):
            self.programs.append(program)
            self.reports += [dict(r, program=program["name"])
                             for r in program.get("reports", [])]
            for test in program.get("tests", []):
                if test["result"] not in RESULTS:
                    raise Error(f"{program['name']}:{test['name']}: "
                                f"the result is \"{test['result']}\"")
                self.tests[program["name"], test["name"]] = test

    def count(self):
        """How many tests ended how."""
        return collections.Counter(t["result"] for t in self.tests.values())

    def cells(self, program):
        """The tests of a program, by name."""
        return {name: t for (p, name), t in self.tests.items() if p == program}


class Run:
    """The results of one run, or of several that are shown as one."""

    def __init__(self, paths):
        self.heads, self.kernels = [results.load(path) for path in paths], {}
        for path, data in zip(paths, self.heads):
            try:
                for k in data["kernels"]:
                    self.kernels.setdefault(k["name"], Kernel(k, data)).add(k)
            except KeyError as e:
                raise Error(f"{path}: {e} is missing") from None

    def count(self):
        """How many tests ended how, on all kernels."""
        return sum((k.count() for k in self.kernels.values()), collections.Counter())

    def unexpected_reports(self):
        """How many kernel reports nobody announced."""
        return sum(not r.get("expected") for k in self.kernels.values()
                   for r in k.reports)

    def verdict(self):
        """The run in a word, for the reader who reads one."""
        if any(k.judged is not True for k in self.kernels.values()):
            return "not judged"
        count = self.count()
        if count["fail"] or count["xpass"] or self.unexpected_reports():
            return "failed"
        return "passed" if count["pass"] else "nothing tested"


def is_unreachable(test):
    """The cell's window can't be reached, as opposed to: it was not tried."""
    return (test["result"] == "skip" and
            (test.get("reason") or "").startswith(UNREACHABLE))


def split_cell(name):
    """DEVICE.MM.WINDOW of a cell of the matrix, or None."""
    parts = name.split(".")
    return tuple(parts) if len(parts) == 3 else None


def split_hold(name):
    """DEVICE.MM@FUNCTION#HIT of a cell of the holds: device, mm, function, hit."""
    match = re.fullmatch(r"([^.@]*)\.([^@]*)@([^#]*)#?(.*)", name)
    return (*match.group(1, 2, 3), match[4] or "1") if match else None


def changes(base, run):
    """The differences: a list of (kernel, program, test, before, after)."""
    pairs = [(base.kernels[n], k) for n, k in run.kernels.items() if n in base.kernels]
    if not pairs and len(base.kernels) == len(run.kernels) == 1:
        pairs = [(*base.kernels.values(), *run.kernels.values())]
    if not pairs:
        raise Error("--base: no kernel is in both runs")
    found = []
    for old, new in pairs:
        names = dict.fromkeys([*new.tests, *old.tests])
        label = new.name if old.name == new.name else f"{old.name} → {new.name}"
        for key in names:
            before, after = (t.get(key, {}).get("result", "absent")
                             for t in (old.tests, new.tests))
            if before != after:
                found.append((label, *key, before, after))
    worst = [*RESULTS, "absent"]
    return sorted(found, key=lambda c: (worst.index(c[4]), c[:3]))
