# SPDX-License-Identifier: GPL-2.0
"""The skips that are expected of a kernel: selftests/expected-skips/NAME, and with
modules that DKMS makes also selftests/expected-skips/dkms.

A line is PROGRAM:TEST, both globs, and after "  # " the reason. "?" before it: the test
may skip, or not, which depends on the machine. Any other skip is a failure, and so is a line
without a skip, if its program has run in whole. "xmtest skips" writes the lists.
"""
import collections
import fnmatch
import itertools
from typing import NamedTuple

from .util import TOP, Usage

LISTS = TOP / "selftests" / "expected-skips"
UNEXPECTED = "skipped, which is not expected: "


class Row(NamedTuple):
    program: str
    test: str = "*"
    reason: str = ""
    may: bool = False       # skip, or not

    def covers(self, program, test):
        return (fnmatch.fnmatchcase(program, self.program) and
                fnmatch.fnmatchcase(test, self.test))

    def __str__(self):
        return f"{'?' * self.may}{self.program}:{self.test}  # {self.reason}"


def expected(name):
    """The rows of a kernel's list, or None if there is no list."""
    path = LISTS / name
    if not path.exists():
        return None
    rows = []
    for line in path.read_text().splitlines():
        # A # alone is a part of some names.
        line, _, reason = line.partition("  # ")
        if line and not line.startswith("#"):
            program, _, test = line.lstrip("?").partition(":")
            rows.append(Row(program, test or "*", reason.strip(), line.startswith("?")))
    return rows


def enforce(kernel, rows, programs_run, whole):
    """Make failures of the skips in KERNEL that are not expected, and of the expected
    ones that have not happened, if their program is among PROGRAMS_RUN, which ran in
    whole, or all of them did. The lists know nothing of what a program does with
    arguments, such as all cells of the race matrix."""
    used = set()
    for program in kernel["programs"]:
        if not whole and program["name"] not in programs_run:
            continue
        for test in program["tests"]:
            if test["result"] != "skip":
                continue
            hits = [row for row in rows if row.covers(program["name"], test["name"])]
            used.update(hits)
            if not hits:
                test["result"] = "fail"
                test["reason"] = UNEXPECTED + test["reason"]
    for row in rows:
        if row in used or row.may or not (whole or any(
                fnmatch.fnmatchcase(name, row.program) for name in programs_run)):
            continue
        kernel["programs"].append({
            "name": row.program, "guest": None, "seconds": None, "status": None,
            "reports": [], "tests": [{
                "name": row.test, "result": "fail", "judge": True, "output": [],
                "seconds": None,
                "reason": f"expected to skip, and did not: {row.reason}"}]})


def globs(names):
    """Patterns that a list of dotted names may be shortened by, the widest first."""
    found = collections.Counter({"*": len(names)})
    for parts in (name.split(".") for name in names):
        # Without what stands before and behind some of the parts
        for i, j in itertools.combinations(range(len(parts) + 1), 2):
            found[".".join(["*"] * (i > 0) + parts[i:j] + ["*"] * (j < len(parts)))] += 1
    return [glob for glob, n in found.most_common() if n > 1]


def shorten(program, skipped, everything):
    """Rows for SKIPPED, {test: reason}: a glob covers tests of one reason only, and
    none that has run."""
    rows, by_reason = [], collections.defaultdict(set)
    for test, reason in skipped.items():
        by_reason[reason].add(test)
    for reason, left in by_reason.items():
        allowed = set(left)
        for glob in globs(left):
            hits = set(fnmatch.filter(everything, glob))
            if hits <= allowed and len(hits & left) > 1:
                rows.append(Row(program, glob, reason))
                left -= hits
        rows += [Row(program, test, reason) for test in left]
    return rows


def seen(program):
    """{test: reason} of what a program has skipped, expected or not."""
    skipped = {}
    for test in program["tests"]:
        _, unexpected, reason = test["reason"].partition(UNEXPECTED)
        if test["result"] == "skip":
            skipped[test["name"]] = test["reason"]
        elif unexpected and test["result"] == "fail":
            skipped[test["name"]] = reason
    return skipped


def write(kernel):
    """The list of a kernel, from a run of all programs. Rows that begin with a "?" are
    kept: a person has written them."""
    name = kernel["name"]
    if name.startswith("dkms-"):
        raise Usage(f"the list of {name} is that of the stock kernel, and {LISTS}/dkms")
    may = [row for row in expected(name) or [] if row.may]
    rows, everything, skipped = list(may), {}, {}
    for program in kernel["programs"]:
        everything.setdefault(program["name"], set()).update(
            t["name"] for t in program["tests"])
        skipped.setdefault(program["name"], {}).update(
            (test, reason) for test, reason in seen(program).items()
            if not any(row.covers(program["name"], test) for row in may))
    for program, tests in skipped.items():
        rows += shorten(program, tests, everything[program])
    LISTS.mkdir(exist_ok=True)
    lines = "\n".join(sorted(map(str, rows), key=lambda line: line.lstrip("?")))
    (LISTS / name).write_text(
        f"# Expected skips of {name}, see runner/xm/skips.py.\n{lines}\n")
    return LISTS / name
