# SPDX-License-Identifier: GPL-2.0
"""results.json: what a run has found. All that is shown is made from it.

{"format": 1, "xmirror": VERSION, "command": [WORD...], "began": ISO, "seconds": S,
 "host": {"name", "cpus", "memory_mb", "qemu", "load"},
 "kernels": [{
    "name": as in kernels.py or a path, "release", "arch", "flavour", "page_size",
    "accel": "kvm" | "tcg" | "tcg,icount",
    "judged": true | "why not",
    "whole": did every program run in whole,
    "skips_listed": is there a list of expected skips for it,
    "logs": [DIRECTORY...], "seconds": S,
    "programs": [{
        "name", "guest": NUMBER, "seconds": S, "status": exit status or null,
        "tests": [{
            "name", "result": "pass" | "fail" | "xfail" | "xpass" | "skip",
            "reason", "output": [LINE...], "seconds": S or null,
            "judge": true        only if the judge has added it
        }],
        "reports": [{"line", "text", "expected": true | false}]
    }],
    "totals": {}
 }],
 "totals": {"passed", "failed", "skipped", "xfail", "xpass"}}

"seconds" are the host's. A failure beside the tests (a report of the kernel, a
program that died, a plan that was not kept) is a test that the judge has added, so
that the failed tests are all failures. A cell of the race matrix is a test of
the program race_matrix, DEVICEOP.MMOP.WINDOW. Programs of the names in GUEST are the
guest's own or stand for a whole run.
"""
import collections
import json
import os
import platform
import re
import shlex
import subprocess
import time
from pathlib import Path

from .util import CACHE, TOP, Error, digest, version

KEYS = {"pass": "passed", "fail": "failed", "skip": "skipped", "xfail": "xfail",
        "xpass": "xpass"}
GUEST = ("guest", "boot", "unload", "run", "modules", "mutants", "planted")


def count(programs):
    totals = dict.fromkeys(KEYS.values(), 0)
    for program in programs:
        for test in program["tests"]:
            totals[KEYS[test["result"]]] += 1
    return totals


def host():
    try:
        qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True,
                              text=True, check=False).stdout.split("\n")[0]
    except OSError:
        qemu = ""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"name": platform.node(), "cpus": len(os.sched_getaffinity(0)),
            "memory_mb": pages >> 20, "qemu": qemu, "load": os.getloadavg()[0]}


def new(command):
    return {"format": 1, "xmirror": version(), "command": list(command),
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "seconds": 0.0,
            "host": host(), "kernels": [], "totals": {}}


def no_kernel(name, why):
    """A kernel that could not be built or fetched: nothing was judged."""
    return {"name": name, "release": "", "arch": "x86_64", "flavour": "", "page_size": 4096,
            "accel": "", "judged": why, "whole": False, "logs": [], "seconds": 0.0,
            "programs": [], "totals": {}}


def complete(results, seconds=None):
    for kernel in results["kernels"]:
        kernel["totals"] = count(kernel["programs"])
    results["totals"] = count(p for k in results["kernels"] for p in k["programs"])
    if seconds is not None:
        results["seconds"] = round(seconds, 1)
    return results


def save(results, path):
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    os.replace(f"{path}.tmp", path)


def last_link():
    """Of this checkout: several may share a cache."""
    return CACHE / "log" / f"last-{digest(TOP)}"


def load(where=None):
    """Results of a file or a log directory; by default the last run's."""
    path = last_link() if where is None else where
    if os.path.isdir(path):
        path = os.path.join(path, "results.json")
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, ValueError) as error:
        if where is None:
            raise Error("there was no run yet") from error
        raise Error(f"no results in {where}: {error}") from error
    if not isinstance(results, dict) or results.get("format") != 1:
        raise Error(f"{path} is not of format 1")
    return results


def merge(many):
    """One result of several runs, such as the shards of one."""
    merged = dict(many[0], kernels=[])
    by_name = {}
    for results in many:
        for kernel in results["kernels"]:
            key = (kernel["name"], kernel["release"])
            if key not in by_name:
                by_name[key] = dict(kernel, programs=[], logs=[], seconds=0.0)
                merged["kernels"].append(by_name[key])
            whole = by_name[key]
            whole["programs"] += kernel["programs"]
            whole["logs"] += kernel["logs"]
            whole["seconds"] = max(whole["seconds"], kernel["seconds"])
            if kernel["judged"] is not True:
                whole["judged"] = kernel["judged"]
    return complete(merged, max(r["seconds"] for r in many))


# --- what is shown --------------------------------------------------------

def each(results, *kinds):
    """(kernel, program, test) of the tests with one of these results."""
    for kernel in results["kernels"]:
        for program in kernel["programs"]:
            for test in program["tests"]:
                if not kinds or test["result"] in kinds:
                    yield kernel, program, test


def spec(program, test):
    """TESTS= for one test, or None."""
    name = program["name"]
    if name in GUEST or re.search("[/ ]", name):
        return None
    # A name with a blank is no test's that a program could be asked for.
    if name.startswith("hmm-tests") or "judge" in test or " " in test["name"]:
        return name
    return f"{name}:{test['name']}"


def repeat(command, kernel, program, test):
    """The command that repeats a test on the kernel of that name, or all of the run,
    which COMMAND began."""
    tests = spec(program, test)
    if not tests:
        return shlex.join(["runner/xmtest", *command])
    which = "KDIR" if "/" in kernel else "KERNEL"
    return f"make check {which}={kernel} TESTS={shlex.quote(tests)}"


def again(results):
    """{kernel: TESTS} of what failed."""
    tests = collections.defaultdict(list)
    for kernel, program, test in each(results, "fail"):
        what = spec(program, test) or "*"
        if what not in tests[kernel["name"]]:
            tests[kernel["name"]].append(what)
    for kernel in results["kernels"]:
        if kernel["judged"] is not True:
            tests[kernel["name"]] = ["*"]
    return {name: " ".join(["*"] if "*" in t else t) for name, t in tests.items()}


def total_line(results):
    t = results["totals"]
    return f"{t['passed'] + t['xpass']} passed, {t['failed']} failed, {t['skipped']} skipped"


def summary(results, slow=10):
    """The lines that end a run; the last is the total."""
    out = []
    many = len(results["kernels"]) > 1

    def where(kernel):
        return f"{kernel['name']}: " if many else ""

    timed = sorted((t["seconds"] or 0, f"{p['name']}: {t['name']}", where(k))
                   for k, p, t in each(results))[-slow:]
    if slow and timed and timed[-1][0] >= 1:
        out.append("slowest:")
        out += [f"  {s:7.1f} s  {w}{name}" for s, name, w in reversed(timed) if s >= 1]
    reasons = collections.defaultdict(list)
    for kernel, program, test in each(results, "skip"):
        reasons[where(kernel) + (test["reason"] or "no reason")].append(
            f"{program['name']}: {test['name']}")
    if reasons:
        out.append("skipped:")
    for reason, names in sorted(reasons.items(), key=lambda r: (-len(r[1]), r[0])):
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        out.append(f"  {len(names):4d}  {reason} ({some})")
    unlisted = [k["name"] for k in results["kernels"]
                if k["totals"]["skipped"] and k.get("skips_listed") is False]
    if unlisted:
        out.append("no list says which skips are expected: " + ", ".join(unlisted))
    for kind, title in (("xfail", "expected failure"),
                        ("xpass", "EXPECTED FAILURE THAT PASSED")):
        for kernel, program, test in each(results, kind):
            reason = f": {test['reason']}" if test["reason"] else ""
            out.append(f"{title}: {where(kernel)}{program['name']}: {test['name']}{reason}")
    for kernel, program, test in each(results, "fail"):
        out.append(f"failed: {where(kernel)}{program['name']}: {test['name']}: "
                   f"{test['reason']}")
        out += [f"    {line}" for line in test["output"][-15:]]
        out.append(f"    {repeat(results['command'], kernel['name'], program, test)}")
    for kernel in results["kernels"]:
        if kernel["judged"] is not True:
            out.append(f"could not be judged: {kernel['name']}: {kernel['judged']}")
    if any(k["totals"]["failed"] or k["judged"] is not True for k in results["kernels"]):
        out += [f"logs: {log}" for k in results["kernels"] for log in k["logs"]]
    totals = results["totals"]
    if totals["xfail"] or totals["xpass"]:
        out.append(f"{totals['xfail']} expected failures" +
                   f", {totals['xpass']} of those passed" * bool(totals["xpass"]))
    out.append(total_line(results))
    return out


def status(results):
    """Exit status of a run."""
    if results["totals"]["failed"]:
        return 1
    if any(k["judged"] is not True for k in results["kernels"]):
        return 3
    return 0 if any(results["totals"].values()) else 1


# --- KTAP and JUnit -------------------------------------------------------

def ktap(results):
    """KTAP, nested: kernels, programs, tests. A part is its lines and its result."""
    def clean(text):
        return re.sub(r"[^ -~]", "?", text).replace("#", "")

    def line(number, name, kind, reason=""):
        directive = "" if kind in ("pass", "fail") else f" # {kind.upper()} {clean(reason)}"
        return f"{'not ' * (kind == 'fail')}ok {number} {clean(name)}{directive}".rstrip()

    def test(number, test):
        said = [test["reason"], *test["output"]] * (test["result"] in ("fail", "xfail"))
        return [*(f"# {clean(text.lstrip('# '))}" for text in said),
                line(number, test["name"], test["result"], test["reason"])], test["result"]

    def group(number, name, parts):
        kinds = {kind for _, kind in parts}
        inner = ["KTAP version 1", f"# Subtest: {clean(name)}", f"1..{len(parts)}",
                 *(text for lines, _ in parts for text in lines)]
        good = "fail" if "fail" in kinds else "pass"
        return [*(f"    {text}" for text in inner), line(
            number, name, "skip" if kinds == {"skip"} else good)], good

    yield "KTAP version 1"
    yield f"1..{len(results['kernels'])}"
    for number, kernel in enumerate(results["kernels"], 1):
        if kernel["judged"] is not True:
            yield f"# could not be judged: {clean(kernel['judged'])}"
        yield from group(number, f"xmirror on {kernel['name']}", [
            group(n, p["name"], [test(*t) for t in enumerate(p["tests"], 1)])
            for n, p in enumerate(kernel["programs"], 1)])[0]


def junit(results, parser, output):
    """The kernel's own parser of KTAP makes JUnit XML of it."""
    Path(output).unlink(missing_ok=True)
    done = subprocess.run(["python3", parser, "parse", f"--junit={output}"], text=True,
                          input="\n".join(ktap(results)) + "\n", check=False,
                          capture_output=True)
    if not os.path.exists(output):
        raise Error(f"{parser}: {done.stdout}{done.stderr}")


# --- two runs -------------------------------------------------------------

def compare(base, other):
    """Lines about the tests whose result differs, and nothing else. Programs that ran
    on both sides are compared, and what is the guest's own: it is there if it failed.
    Of each run the kernels are taken in their order."""
    out = []
    if len(base["kernels"]) != len(other["kernels"]):
        raise Error(f"{len(base['kernels'])} kernels cannot be compared with "
                    f"{len(other['kernels'])}")
    for old, new_ in zip(base["kernels"], other["kernels"]):
        # Both guests have the tests of unloading: the failure of one counts.
        before, after = ({(p, t["name"]): t for p, t in sorted(
            ((p["name"], t) for p in k["programs"] for t in p["tests"]),
            key=lambda row: row[1]["result"] == "fail")} for k in (old, new_))
        title = f"{old['name']} ({old['release']}) -> {new_['name']} ({new_['release']})"
        for kernel in (old, new_):
            if kernel["judged"] is not True:
                out.append(f"could not be judged: {kernel['name']}: {kernel['judged']}")
        rows, both = [], {p["name"] for p in old["programs"]} & {
            p["name"] for p in new_["programs"]}
        if both <= set(GUEST) and old["judged"] is True and new_["judged"] is True:
            raise Error(f"{title}: no program ran on both")
        both |= set(GUEST)
        keys = [key for key in before.keys() | after.keys() if key[0] in both]
        for key in sorted(keys):
            was, now = before.get(key), after.get(key)
            a, b = (t["result"] if t else "absent" for t in (was, now))
            if a != b:
                reason = (now or was)["reason"]
                rows.append(f"  {a:>6} -> {b:<6}  {key[0]}: {key[1]}"
                            + (f": {reason}" if reason else ""))
        out += [title, *rows, f"  {len(rows)} changed of {len(keys)}"]
    return out
