# SPDX-License-Identifier: GPL-2.0
"""Runs selftests/intree/test_hmm_bugs.c on xmirror and on the kernel's own test
device, that one in a guest for each test because it may not survive it:
  ok       the test passed
  wrong    it failed
  warning  it passed, but the kernel complained
  hang     a call did not end
  crash    the kernel did
"""
import fnmatch
import re

from . import build, check, results
from .guest import Boot
from .util import Usage

PROGRAM = "intree_test_hmm_bugs"
CRASH = re.compile(r"Oops|BUG:|KASAN:|kernel BUG|protection fault|Kernel panic")


def peer(run, target, test):
    """The result of the test on the kernel's own test device."""
    kernel, lines = check.command(
        run, target, "insmod /lib/modules/test_hmm.ko $(cat /xm/params.xmirror_test) && "
        f"{PROGRAM} -r {test}", Boot("run", load=False, limit=120, deadline=600),
        echo=False)
    run.results["kernels"].pop()
    if kernel["judged"] is not True:
        return "not judged"
    reports = [r["line"] for p in kernel["programs"] for r in p["reports"]]
    ended = [t for p in kernel["programs"] for t in p["tests"] if "judge" not in t]
    if any(CRASH.search(line) for line in reports):
        return "crash"
    if any("does not end" in line for line in lines) or not ended:
        return "hang"
    if any("# SKIP" in line for line in lines):
        return "skipped"
    if ended[0]["result"] != "pass":
        return "wrong"
    return "warning" if reports else "ok"


def main(args, words):
    run = check.Run(words, "peer-bugs")
    for name in args.kernels:
        build.need()
        target = build.Target(name)
        build.programs(target, [PROGRAM])
        if not any("test_hmm.ko" in str(m) for m in target.modules):
            raise Usage(f"{name} has no lib/test_hmm.ko: CONFIG_TEST_HMM=m")
        kernel = check.check(run, target, [PROGRAM])
        print(f"\nLinux {target.name}\n{'test':46} {'in-tree':10} xmirror")
        for program in kernel["programs"]:
            for test in program["tests"] if program["name"] == PROGRAM else []:
                if "judge" in test or not fnmatch.fnmatchcase(test["name"],
                                                              f"*{args.tests}"):
                    continue
                theirs = peer(run, target, test["name"])
                print(f"{test['name']:46} {theirs:10} {test['result']}", flush=True)
    run.save()
    return results.status(run.results)
