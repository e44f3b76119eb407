# SPDX-License-Identifier: GPL-2.0
"""Runs the tests with modules that count which of their lines are run; gcovr makes a
table and HTML of it. Needs a kernel with CONFIG_GCOV_KERNEL."""
import json
import shutil
import subprocess

from . import build, check
from .guest import Boot
from .util import CACHE, FAILED, Error, Usage, run as run_command, say

LEAST = 95      # percent of the lines, of a run of all tests


def table(out):
    """Have gcovr make what is shown of the sources and counts in OUT. Percent of the
    lines that were run."""
    (out / "html").mkdir(exist_ok=True)
    # Matched from the root on.
    run_command("gcovr", "--root", out, "--object-directory", out,
                "--filter", "(src|test_driver|include/xmirror)/",
                "--html-details", out / "html/index.html", "--json-summary",
                out / "summary.json", "--txt", out / "table", what="gcovr failed", cwd=out)
    summary = json.loads((out / "summary.json").read_text())
    if not summary["line_total"]:
        raise Error("gcovr has found no line of the modules")
    print((out / "table").read_text(), end="")
    print(f"line by line: {out}/html/index.html")
    return summary["line_percent"]


def status(tests, percent, status_of_run):
    """The exit status: all tests have to run LEAST percent of the lines."""
    if check.is_all(tests) and percent < LEAST:
        say(f"{percent} % of the lines were run, and not {LEAST}")
        return FAILED
    return status_of_run


def main(args, words):
    name, tests = args.kernels[0], args.tests
    run = check.Run(words, "coverage", last=False)
    build.need("gcovr")
    target = build.Target(name, make=("GCOV_PROFILE=y",))
    config = target.kdir / ".config" if target.kdir else None
    if not config or "CONFIG_GCOV_KERNEL=y" not in config.read_text():
        raise Usage(f"{name} has no CONFIG_GCOV_KERNEL: take a debug kernel, such as 7.3")
    lines = check.choose(target, tests)
    out = CACHE / "coverage" / target.name.replace("/", "_")
    shutil.rmtree(out, ignore_errors=True)
    # The sources as they are now: somebody may change them while the tests run.
    shutil.copytree(target.symbols, out, symlinks=True)
    with build.temporary() as tmp:
        check.check(run, target, lines, guests=1,
                    boot=Boot("check", gcov=str(tmp / "tar")))
        (tmp / "gcda").mkdir()
        done = subprocess.run(["tar", "-C", tmp / "gcda", "-xf", tmp / "tar"],
                              capture_output=True, check=False)
        counts = tmp / "gcda" / str(target.symbols).lstrip("/")
        if done.returncode or not counts.is_dir():
            raise Error("the guest has left no counts")
        shutil.copytree(counts, out, dirs_exist_ok=True)
    return status(tests, table(out), run.finish())
