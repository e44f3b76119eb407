# SPDX-License-Identifier: GPL-2.0
"""Drives "git bisect run" in a kernel tree: builds it incrementally, runs TESTS, and
answers 125 where the kernel does not build or cannot be judged."""
import os
import subprocess
import sys
from pathlib import Path

from . import build, check
from .util import FAILED, OK, TOP, UNJUDGED, Error, Usage, say

SKIP = 125      # for git bisect: not to be told


def answer(status):
    return {OK: 0, FAILED: 1}.get(status, SKIP)


def git(tree, *args, **options):
    return subprocess.run(["git", "-C", tree, *args], check=False, **options)


def step(tree, tests, words):
    """One revision: the answer for git bisect."""
    make = ["make", "-s", "-C", str(tree), build.JOBS]
    log = tree / ".xmirror-build.log"
    with open(log, "w", encoding="utf-8") as file:
        for goal in (["olddefconfig"], ["bzImage", "modules"]):
            if subprocess.run([*make, *goal], stdout=file, stderr=file,
                              stdin=subprocess.DEVNULL, check=False).returncode:
                say(f"does not build, see {log}")
                return SKIP
    try:
        run = check.Run(words, "bisect")
        build.need()
        target = build.Target(str(tree))
        check.check(run, target, check.choose(target, tests))
        return answer(run.finish())
    except Error as error:
        say(f"cannot be judged: {error}")
        return SKIP


def main(args, words):
    tree = Path(args.kernels[0]).resolve()
    if os.environ.get("XM_BISECT"):
        return step(tree, args.tests, words)
    if not (tree / ".git").exists() or not (tree / ".config").exists():
        raise Usage(f"{tree} is no git tree of the kernel with a .config")
    if args.tests == "*":
        say("all tests are run for each revision: name some by TESTS=")
    command = [sys.executable, TOP / "runner/xmtest", "bisect", "--good", args.good,
               "--bad", args.bad, "-k", tree, "-t", args.tests]
    found = drive(tree, args.good, args.bad, ["env", "XM_BISECT=1", *map(str, command)])
    if not found:
        say("the bisection has found no first bad commit")
        return UNJUDGED
    git(tree, "--no-pager", "log", "-1", "--format=first bad commit: %h %s", found)
    return OK


def drive(tree, good, bad, command):
    """The first bad commit by "git bisect run", or None; the tree is as before."""
    git(tree, "bisect", "reset", capture_output=True)
    for arguments in (("start",), ("bad", bad), ("good", good)):
        if git(tree, "bisect", *arguments).returncode:
            raise Error(f"git bisect {' '.join(arguments)} failed")
    done = git(tree, "bisect", "run", *command)
    found = git(tree, "rev-parse", "refs/bisect/bad", capture_output=True, text=True)
    git(tree, "bisect", "log")
    git(tree, "bisect", "reset", capture_output=True)
    return None if done.returncode else found.stdout.strip()
