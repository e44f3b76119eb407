# SPDX-License-Identifier: GPL-2.0
"""Documentation/findings.md: the entries, and the tests that they name."""
import collections
import fnmatch
import re

from . import model

Finding = collections.namedtuple("Finding", "nr title kernels names")


def read(text):
    """The findings, in order."""
    found = []
    for m in re.finditer(r"^## (\d+)\. (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        fields = dict(re.findall(r"^- \*\*(\w+):\*\*\s*(.*?)(?=^- \*\*|\Z)",
                                 m[3], re.M | re.S))
        kernels = " ".join(fields.get("Kernels", "").split())
        names = re.findall(r"`([^`\s]+)`", fields.get("Test", ""))
        found.append(Finding(int(m[1]), m[2].strip().replace("`", ""),
                             kernels.replace("`", ""), names))
    return found


def tests_of(finding, tests):
    """Those tests of a kernel that an entry names: it names programs and tests."""
    programs = {p for p, _ in tests}
    mine = {n for n in finding.names if n in programs}
    globs = [n.replace("…", "*") for n in finding.names if n not in programs]
    found = []
    for (program, name), test in tests.items():
        if mine and program not in mine:
            continue
        if not globs and mine:
            found.append(test)
        elif any(fnmatch.fnmatchcase(name, g) or fnmatch.fnmatchcase(name, g + ".*") or
                 fnmatch.fnmatchcase(name.rpartition(".")[2], g) for g in globs):
            found.append(test)
    return found


def state(finding, kernel):
    """The results of the tests of a finding on a kernel."""
    found = [t["result"] for t in tests_of(finding, kernel.tests)]
    worst = min(found, key=model.RESULTS.index, default="absent")
    return worst, found.count(worst), len(found)
