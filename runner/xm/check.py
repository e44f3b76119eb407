# SPDX-License-Identifier: GPL-2.0
"""Chooses programs, shares them among guests, shows the progress, judges."""
import collections
import contextlib
import fnmatch
import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import build, judge, kernels, results, skips
from .guest import Boot, Guest, release_of
from .util import CACHE, Error, Usage, say

# So many tests fit into the arguments of one program.
MANY = 100
# It finds its tests in the kernel that it runs on.
UNLISTED = "race_holds"


# --- choosing -------------------------------------------------------------

def tests_of(directory, program):
    """Names of the tests of a program, as in its results. The harness lists the
    variants and the tests in columns beside each other, with a line between fixtures;
    the race matrix its cells, one in a line."""
    command = [str(directory / program), *(["--all"] if program == "race_matrix" else []),
               "-l"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    names = re.findall(r"^[a-z0-9_]+\.\S+$", text, re.M)
    # Fixture, variants, tests. What has no such list says how to use it.
    _, _, text = text.partition("# FIXTURE ")
    for block in re.split(r"^---+\n", text.partition("\n")[2], flags=re.M):
        columns = [[word for line in block.splitlines() if (word := line[part].strip())]
                   for part in (slice(20), slice(21, 46), slice(47, None))]
        names += [".".join(filter(None, words)) for words in
                  itertools.product(columns[0], columns[1] or [""], columns[2])]
    return names


def programs():
    """Names of all programs."""
    return build.hmm_tests() + build.test_programs()


def is_all(words):
    """Does TESTS mean all of them?"""
    return words.split() in ([], ["*"])


def validate(words):
    """Say early that a program does not exist, before anything is built."""
    names = programs()
    for word in words.split():
        program = word.partition(":")[0]
        if not fnmatch.filter(names, program):
            raise Usage(f"no test program matches '{program}'; see make list")


def named(names, globs):
    """Those of NAMES that one of GLOBS matches."""
    return [n for n in names if any(fnmatch.fnmatchcase(n, g) for g in globs)]


def choose(target, words, drop=False):
    """The lines of the queue for TESTS: PROGRAM, or PROGRAM:TEST, both globs. An unknown
    one is an error, or with DROP a message."""
    def unknown(text):
        if not drop:
            raise Usage(text)
        say(text)

    wanted = words.split() or ["*"]
    names = programs()
    # The benchmark moves 13 GB, which tells of speed: for who asks for it.
    if is_all(words):
        names = [name for name in names if not name.startswith("hmm-tests-bench")]
    lines, parts = [], {}
    globs = [word.partition(":")[0] for word in wanted]
    build.programs(target, None if "*" in globs else named(names, globs))
    for word in wanted:
        program, _, test = word.partition(":")
        found = fnmatch.filter(names, program)
        if not found:
            unknown(f"no test program matches '{program}'; see make list")
            continue
        if test in ("", "*"):
            lines += [name for name in found if name not in lines]
            continue
        hits = 0
        for name in found:
            if name.startswith("hmm-tests"):
                raise Usage(f"{name} runs as a whole only")
            tests = [test] if name == UNLISTED else fnmatch.filter(
                tests_of(bin_here(target, name), name), test)
            hits += len(tests)
            parts.setdefault(name, []).extend(
                t for t in tests if t not in parts.get(name, []))
        if not hits:
            unknown(f"no test of {program} matches '{test}'; "
                    f"see make list TESTS='{program}'")
    for name, tests in parts.items():
        if name not in lines:
            lines += [" ".join([name, *(f"-r {t}" for t in tests[i:i + MANY])])
                      for i in range(0, len(tests), MANY)]
    order = {name: number for number, name in enumerate(names)}
    return sorted(lines, key=lambda line: order[line.split()[0]])


def shard(lines, which):
    """The I-th of N parts, in turns, so that each has some of the long ones."""
    if not which:
        return lines
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", which)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise Usage(f"SHARD={which} is not I/N")
    return lines[int(match[1]) - 1::int(match[2])]


def bin_here(target, name):
    """A directory with a program that runs on this machine: its tests are the same."""
    if target.arch == os.uname().machine:
        return target.bin
    return build.programs(build.Programs(), [name])


def need_cells(wanted):
    """Say early that the race matrix has no such cell: DEVICE, DEVICE.MM or all of it."""
    if not wanted:
        return
    cells = tests_of(build.programs(build.Programs(), ["race_matrix"]), "race_matrix")
    for cell in wanted:
        if not any(f"{name}.".startswith(f"{cell}.") for name in cells):
            raise Usage(f"no such cell: {cell}; see make list TESTS=race_matrix")


# --- progress -------------------------------------------------------------

class Progress:
    """A line for each program that has ended and each test that failed; on a
    terminal also one, in place, that says what each guest is at."""

    def __init__(self, total, guests):
        self.total, self.done = total, 0
        self.began = time.monotonic()
        self.at = [["boots", "", 0.0] for _ in range(guests)]
        self.counts = [{} for _ in range(guests)]
        self.terminal = sys.stdout.isatty()
        self.lock = threading.Lock()

    def say(self, text):
        if self.terminal:
            sys.stdout.write("\r\033[K")
        print(text, flush=True)

    def state(self):
        if not self.terminal:
            return
        width = shutil.get_terminal_size().columns - 1
        at = "; ".join(f"{program} {test}".strip() for program, test, _ in self.at)
        text = f"[{self.done}/{self.total}] {self.clock()} {at}"
        sys.stdout.write(f"\r\033[K{text[:width]}")
        sys.stdout.flush()

    def clock(self):
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes}:{seconds:02d}"

    def line(self, guest, text):
        with self.lock:
            if text.startswith("# test: "):
                self.at[guest] = [text[8:], "", time.monotonic()]
                self.counts[guest] = {}
            elif text.startswith("# exit: "):
                self.ended(guest, text.split()[2])
            elif text.startswith("#  RUN "):
                self.at[guest][1] = text.split()[2]
            elif re.match(r"(not )?ok ", text):
                self.result(guest, text)
            elif text.startswith(("# prepare:", "# insmod", "# cannot load",
                                  "# left processes")):
                self.say(text)
            self.state()

    def result(self, guest, text):
        kind = "failed" if text.startswith("not") else "passed"
        directive = judge.DIRECTIVE.search(text)
        if directive:
            kind = {"SKIP": "skipped"}.get(directive[1].upper(), "expected failures")
        self.counts[guest][kind] = self.counts[guest].get(kind, 0) + 1
        if kind == "failed":
            self.say(f"not ok: {self.at[guest][0]}: {text.split(' ', 3)[-1]}")

    def ended(self, guest, name):
        self.done += name != "unload"
        counts = ", ".join(f"{n} {kind}" for kind, n in self.counts[guest].items())
        seconds = time.monotonic() - self.at[guest][2]
        number = f"{min(self.done, self.total)}/{self.total}"
        if name != "unload" or "failed" in counts:
            self.say(f"[{number:>7} {self.clock():>6}] {name}: {counts or 'no results'}"
                     f" ({seconds:.1f} s)")
        self.at[guest] = ["", "", time.monotonic()]


# --- a run ----------------------------------------------------------------

class Run:
    """One call of the runner: a log directory, results.json in it. One that runs the
    tests by name is the last run, for FAILED=1, from then on."""

    def __init__(self, command, name="check", last=True):
        self.results, self.last = results.new(command), last
        self.began = time.monotonic()
        stamp = time.strftime("%Y%m%d-%H%M%S")
        (CACHE / "log").mkdir(parents=True, exist_ok=True)
        # Another run may begin in this second, too.
        for number in itertools.count(1):
            self.log = CACHE / "log" / f"{stamp}-{name}{f'-{number}' if number > 1 else ''}"
            with contextlib.suppress(FileExistsError):
                self.log.mkdir()
                break

    def add(self, kernel):
        self.results["kernels"].append(kernel)
        self.save()

    def save(self):
        results.complete(self.results, time.monotonic() - self.began)
        results.save(self.results, self.log / "results.json")
        if not self.last:
            return
        link = results.last_link()
        temporary = Path(f"{link}.{self.log.name}")
        temporary.symlink_to(self.log)
        temporary.replace(link)

    def replace(self, program, tests):
        """The results are TESTS, as (name, is it well, reason), and not those of the
        guests that have run for them."""
        kernel = self.results["kernels"][-1]
        kernel["programs"] = [{
            "name": program, "guest": 0, "seconds": None, "status": 0, "reports": [],
            "tests": [{"name": name, "result": "pass" if well else "fail",
                       "reason": reason, "output": [], "seconds": None}
                      for name, well, reason in tests]}]
        kernel["judged"] = True
        self.results["kernels"] = [kernel]

    def finish(self, output=None):
        """The summary; the exit status."""
        self.save()
        if output:
            results.save(self.results, output)
        lines = results.summary(self.results)
        (self.log / "summary").write_text("\n".join(lines) + "\n")
        seconds = int(self.results["seconds"])
        say(f"took {seconds // 60}:{seconds % 60:02d}; {self.log}/results.json")
        print("\n".join(lines), flush=True)
        return results.status(self.results)


def boot_guests(run, target, boots, queue=None, on_line=None):
    """Run guests beside each other, one for each of BOOTS. The kernel, for the
    results."""
    began = time.monotonic()
    base = Path(target.name).name
    taken = len(list(run.log.glob(f"{base}.*")))
    logs = [run.log / f"{base}.{taken + i}" for i in range(len(boots))]
    guests = [Guest(target, boot, log,
                    on_line=(lambda line, i=i: on_line(i, line)) if on_line else None,
                    next_program=(lambda: next(queue, "")) if queue else None)
              for i, (boot, log) in enumerate(zip(boots, logs))]
    errors = []

    def boot_one(guest):
        try:
            guest.run()
        except (Error, OSError, subprocess.SubprocessError) as error:
            errors.append(str(error))

    threads = [threading.Thread(target=boot_one, args=(g,), daemon=True) for g in guests]
    try:
        for thread in threads:
            thread.start()
        while any(t.is_alive() for t in threads):
            for thread in threads:
                thread.join(0.5)
    except BaseException:
        Guest.kill_all()
        raise
    kernel = {
        "name": target.name, "release": target.release, "arch": target.arch,
        "flavour": target.flavour, "page_size": target.page_size,
        "accel": guests[0].accel_name(), "judged": True, "whole": False,
        "logs": [str(log) for log in logs], "seconds": 0.0, "programs": [], "totals": {}}
    for number, log in enumerate(logs):
        programs, judged = judge.judge(log)
        for program in programs:
            program["guest"] = number
            for report in program["reports"]:
                report["text"] = symbolise(report["text"], target)
        kernel["programs"] += programs
        if judged is not True:
            kernel["judged"] = judged
        kernel["release"] = release_of(log) or kernel["release"]
    if errors:
        kernel["judged"] = f"the guest could not be started: {errors[0]}"
    kernel["seconds"] = round(time.monotonic() - began, 1)
    return kernel


BENCH_MEMORY = 2304     # MiB of each node


def check(run, target, lines, whole=False, boot=Boot("check"), guests=None):
    """Run the programs that LINES name on a target; add what came of it to RUN."""
    # The lines that no guest has taken yet; to take one is atomic.
    queue = iter(lines)
    # Two, so that an emulated guest that waits for something leaves no CPU idle
    guests = guests or max(1, min(2, len(lines)))
    progress = Progress(len(lines), guests)
    if any(line.startswith("hmm-tests") for line in lines):
        build.build_hmm_tests(target)
    # It has 256 MiB four times, and takes a page that reclaim has for an error: -ENOENT.
    if any(line.startswith("hmm-tests-bench") for line in lines):
        target.machine = target.machine._replace(
            memory=max(target.machine.memory, BENCH_MEMORY))
    if boot.deadline == 3600:
        boot = boot._replace(deadline=300 + boot.limit * (len(lines) + 1) // 2)
    kernel = boot_guests(run, target, [boot] * guests, queue, progress.line)
    kernel["whole"] = whole
    finish_check(kernel, target, lines, whole)
    run.add(kernel)
    return kernel


def name_of(line):
    """The program of a line of the queue: VARIABLE=VALUE... NAME ARG..."""
    return next(word for word in line.split() if "=" not in word)


def finish_check(kernel, target, lines, whole):
    """Judge what no guest alone shows."""
    programs = kernel["programs"]
    if kernel["judged"] is True:
        # No guest has lived long enough, or one has lost what it was told.
        missing = collections.Counter(map(name_of, lines))
        missing.subtract(p["name"] for p in programs if p["status"] is not None or
                         any("judge" in t and t["name"] == "end" for t in p["tests"]))
        for name in missing.elements():
            judge.add(judge.find(programs, name), "results", "it was not run")
    row = target.row
    rows = skips.expected(row.origin) if row else None
    if rows is not None and row.dkms:
        rows += skips.expected("dkms")
    kernel["skips_listed"] = rows is not None
    ended = {p["name"] for p in programs if p["status"] is not None}
    if rows is not None:
        complete = {line for line in lines if " " not in line and line in ended}
        skips.enforce(kernel, rows, complete, whole and kernel["judged"] is True and
                      len(complete) == len(lines))
    if kernel["judged"] is True and judge.nothing_tested(programs):
        judge.add(judge.find(programs, "guest"), "tests",
                  "nothing was tested: no test ran, or every one skipped")


# Lines of init's, and not of what it runs
PROTOCOL = re.compile(r"# (test|exit|xmirror): ")


def command(run, target, shell, boot=Boot("run"), echo=True):
    """Run a shell command in one guest."""
    lines = []

    def on_line(_guest, text):
        lines.append(text)
        if echo and not PROTOCOL.match(text + " "):
            print(text, flush=True)

    kernel = boot_guests(run, target, [boot._replace(mode="run", command=shell)],
                         on_line=on_line)
    run.add(kernel)
    return kernel, lines


STEP = re.compile(r"step: (.+) (?:begins|ends (.+))")


def steps(run, target, keys, shell, boot):
    """Have a guest make steps until each has ended, for a guest may die of one. SHELL is
    asked for the commands for some of KEYS, which say "step: KEY begins" and "step: KEY
    ends WORDS". {key: words, None for one that took its guest with it}"""
    found = {}
    while todo := [key for key in keys if key not in found]:
        run.results["kernels"] = []
        kernel, lines = command(run, target, shell(todo), boot, echo=False)
        before, begun = len(found), None
        for line in lines:
            match = STEP.fullmatch(line)
            if match and match[2] is None:
                begun = match[1]
            elif match:
                found[match[1]] = match[2]
            elif line.startswith("#") and not PROTOCOL.match(line + " "):
                print(line, flush=True)
        if begun and begun not in found and kernel["judged"] is True:
            say(f"the guest died of {begun}")
            found[begun] = None
        if len(found) == before:
            raise Error("the guest got nowhere: " + "; ".join(
                [str(kernel["judged"])] + lines[-5:]))
        say(f"{len(found)} of {len(keys)} steps done")
    return found


# --- symbols --------------------------------------------------------------

ADDRESS = re.compile(r"([\w.]+\+0x[0-9a-f]+)/0x[0-9a-f]+ \[(xmirror|xmirror_test)\]")


def has_lines(file):
    done = subprocess.run(["readelf", "-WS", file], capture_output=True, text=True,
                          check=False)
    return ".debug_line" in done.stdout


def symbolise(text, target):
    """A report with source lines, where there is debug information. A note says what
    there was."""
    if "+0x" not in text:
        return text
    scripts = build.source(kernels.NEWEST) / "scripts"
    if target.vmlinux and has_lines(target.vmlinux):
        done = subprocess.run(
            [scripts / "decode_stacktrace.sh", target.vmlinux, "auto", target.symbols],
            input=text, capture_output=True, text=True, check=False)
        if not done.returncode and done.stdout:
            return done.stdout

    @functools.cache
    def place(address, module):
        """" (FILE:LINE)" of an address in a module of ours, or nothing."""
        ko = next(Path(target.symbols).rglob(f"{module}.ko"), "")
        # Of the size kallsyms and the symbol table have different ideas.
        done = subprocess.run([scripts / "faddr2line", ko, address], capture_output=True,
                              text=True, check=False)
        match = re.search(r" at (\S+:[0-9]+)", done.stdout)
        return f" ({match[1]})" if match else ""

    out = ADDRESS.sub(lambda match: match[0] + place(*match.groups()), text)
    if out == text:
        out += ("(no source lines: the kernel has no debug information; a KDIR with "
                "CONFIG_DEBUG_INFO has)\n")
    return out
