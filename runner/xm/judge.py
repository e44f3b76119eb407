# SPDX-License-Identifier: GPL-2.0
"""Judges a guest from its logs alone.

A log directory has console.log (the kernel log), result.log (what the programs
printed), result.times (when each of those lines came, in seconds since the boot of
the guest) and end ("KEY VALUE" lines: mode, qemu, deadline, hang, unjudged).

All that is wrong is a failed test: one of the program's, or one that is added
to the program ("judge": true), so that the failed tests are all failures.

Marks in the kernel log, written to /dev/kmsg:
  xmirror-test: begin PROGRAM         by init
  xmirror-test: end PROGRAM STATUS    by init
  xmirror-test: expect COUNT PATTERN  by a test: a report is about to come
  xmirror-test: expected              by that test: the report has come by now
PATTERN is an extended regular expression that matches the whole first line of the
report, and COUNT is a number or "0-1".
"""
import re

from .util import TOP


def report_patterns():
    """The patterns of lines that begin a report by the kernel: the tests and the judge
    have one list of them."""
    text = (TOP / "selftests/lib/klog.h").read_text()
    lines = text.partition("#define KLOG_REPORTS")[2].partition("\n\n")[0]
    return "".join(re.findall(r'"(.*)"', lines))


SPLAT = re.compile(report_patterns())
TRACE = re.compile(r"Call [Tt]race:")
# It stands before a report. Where none follows, it is all that is left of one.
CUT = re.compile(r"-+\[ cut here \]-+")
# The console was too slow, and the log has a gap.
GAP = re.compile(r"\*\* [0-9]+ printk messages dropped \*\*")
# A fault of a program is none of the kernel's.
PROGRAM_FAULT = re.compile(r"traps: ")
# Reports that say nothing about the modules. The stack dump that follows one
# belongs to it.
#  - the call for exclusive access cannot wait for userfaultfd, and a kernel
#    with DEBUG_VM says so
#  - injected failures, failed allocations and the OOM killer are what some
#    tests are about
#  - a block of memory that cannot go offline has such a page, which is shown
HARMLESS = re.compile(r"FAULT_FLAG_ALLOW_RETRY missing|FAULT_INJECTION: forcing a failure|"
                      r"page allocation failure|invoked oom-killer|"
                      r"page dumped because: unmovable page")
# Lines that begin a report, but also continue one that began with the other.
CONTINUES = (
    (re.compile(r"BUG: Bad page"), re.compile(r"page dumped because")),
    (re.compile(r"page dumped because: VM_"), re.compile(r"WARNING: |kernel BUG at")),
    (re.compile(r"list_(add|del) corruption"), re.compile(r"WARNING: |kernel BUG at")),
)
# A fault of an emulating QEMU: it executes a breakpoint that was patched away.
QEMU_FAULT = re.compile(r"Oops: int3")

MARK = "xmirror-test: "
STAMP = re.compile(r"\[ *([0-9]+\.[0-9]+)\](\[ *[TC][0-9]+\])? ?")
CLASSES = {"alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "digit": "0-9", "space": r"\s",
           "xdigit": "0-9a-fA-F", "upper": "A-Z", "lower": "a-z"}


def is_splat(line):
    return bool(SPLAT.search(line)) and not PROGRAM_FAULT.match(line)


def ere(pattern):
    """An extended regular expression of POSIX as one of Python's."""
    return re.compile(re.sub(r"\[:(\w+):\]", lambda m: CLASSES[m[1]], pattern))


class Announcement:
    """The reports that a test says it is about to cause."""

    def __init__(self, words):
        count, _, pattern = words.partition(" ")
        most = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", count)
        self.pattern, self.error = pattern, None
        self.low = self.high = self.seen = 0
        try:
            self.regex = ere(pattern)
        except (re.error, KeyError) as error:
            self.error = f"no pattern: {pattern} ({error})"
        if not most or not pattern:
            self.error = f"no COUNT PATTERN: {words}"
        else:
            self.low = int(most[1])
            self.high = int(most[2] or most[1])

    def covers(self, line):
        # What KASAN says is never meant.
        if self.error or "KASAN:" in line or not self.regex.fullmatch(line):
            return False
        self.seen += 1
        return self.seen <= self.high

    def problem(self):
        if self.error:
            return self.error
        if self.seen < self.low:
            return f"announced {self.low} times, came {self.seen} times: {self.pattern}"
        return None


class Console:
    """Reads the kernel log: reports by program, and announcements that came to
    nothing."""

    def __init__(self, lines):
        self.program = "boot"
        self.began = set()
        self.reports = []       # (program, {"line", "text", "expected"})
        self.problems = []      # (program, text)
        self.announced = []
        self.report = None      # the one that is being read
        self.last = 0.0         # when its last line came
        self.cut = None         # text and time of a "cut here" without its report
        self.traces = self.continued = 0
        self.harmless = 0       # so many lines may still belong to a harmless dump
        for line in lines:
            self.line(line.rstrip("\r\n"))
        self.close_cut()
        self.close_announcements()

    def line(self, text):
        stamp = STAMP.match(text)
        time = None
        if stamp:
            time = float(stamp[1])
            text = text[stamp.end():]
        if text.startswith(MARK):
            self.close_cut()
            self.mark(text[len(MARK):])
            return
        if GAP.match(text):
            self.problems.append((self.program, f"the kernel log has a gap: {text}"))
            return
        if self.cut and time is not None and time > self.cut[1] + 1:
            self.close_cut()
        if self.report and time is not None and time > self.last + 1:
            self.report = None
        if is_splat(text):
            self.cut = None
        if CUT.search(text):
            self.close_cut()
            self.cut = text, self.last if time is None else time
        elif self.report and self.continues(text):
            self.add(text, time)
        elif HARMLESS.search(text):
            self.report = None
            self.harmless = 20
        elif is_splat(text) or (TRACE.search(text) and not self.harmless):
            self.begin(text, time)
        elif self.report:
            self.add(text, time)
        self.harmless = max(0, self.harmless - 1)

    def continues(self, text):
        """Does a line that looks like the start of a report belong to the one
        before? To one that fails anyway all of the next second does."""
        if not self.report["expected"]:
            return is_splat(text) or bool(TRACE.search(text))
        if TRACE.search(text):
            self.traces += 1
            return self.traces == 1
        if not is_splat(text):
            return False
        if any(first.search(self.report["line"]) and then.match(text)
               for first, then in CONTINUES):
            self.continued += 1
            return self.continued == 1
        return False

    def begin(self, text, time):
        expected = any(a.covers(text) for a in self.announced)
        self.report = {"line": text, "text": "", "expected": expected}
        self.reports.append((self.program, self.report))
        self.traces = self.continued = 0
        self.add(text, time)

    def close_cut(self):
        if self.cut:
            text, time = self.cut
            self.cut = None
            self.begin(text, time)

    def add(self, text, time):
        if time is not None:
            self.last = time
        if self.report["text"].count("\n") < 300:
            self.report["text"] += text + "\n"

    def mark(self, words):
        kind, _, rest = words.partition(" ")
        self.report = None
        if kind == "begin":
            self.close_announcements()
            self.program = rest
            self.began.add(rest)
        elif kind == "end":
            self.close_announcements()
            self.program = "after " + self.program
        elif kind == "expect":
            self.announced.append(Announcement(rest))
        elif kind == "expected":
            self.close_announcements()

    def close_announcements(self):
        for announcement in self.announced:
            problem = announcement.problem()
            if problem:
                self.problems.append((self.program, problem))
        self.announced = []


RESULT = re.compile(r"(not )?ok(?: +([0-9]+))?(?: +|$)(?:- )?(.*)")
DIRECTIVE = re.compile(r"# *(SKIP|XFAIL|XPASS|TODO)\b:? *(.*)", re.I)
BOILERPLATE = re.compile(r"# +(RUN|OK|FAIL|SKIP|XFAIL|XPASS) |# (Starting|PASSED|FAILED|Totals)")


class Tap:
    """Reads what the programs printed."""

    def __init__(self, lines, times, mode):
        self.mode = mode
        self.programs = []
        self.current = None
        self.ended = self.done = self.command_ended = False
        self.guest = []         # problems of no program
        self.last_program = None
        for number, line in enumerate(lines):
            time = times[number] if number < len(times) else None
            self.line(line.rstrip("\r\n"), time)
        self.last_program = self.current["name"] if self.current else None
        self.end(None, times[-1] if times else None)

    def begin(self, name, time):
        self.end(None, time)
        self.current = {"name": name, "seconds": None, "status": None, "tests": [],
                        "reports": []}
        self.programs.append(self.current)
        self.start = self.before = time
        self.plan = None
        self.skip_all = None
        self.output = []
        self.misnumbered = None

    def line(self, text, time):
        words = text.split(" ")
        if text.startswith("# test: "):
            self.begin(text[8:], time)
        elif text.startswith("# exit: ") and len(words) >= 4:
            if self.current and words[2] == self.current["name"]:
                self.end(int(words[3]), time)
        elif text == "# xmirror: done":
            self.done = True
        elif text.startswith("# xmirror: "):
            pass
        elif text.startswith("# cannot load the modules"):
            self.guest.append(("modules", "the modules do not load"))
        elif text.startswith("# left processes behind"):
            if self.current:
                add(self.current, "processes", "it left processes behind")
        elif not self.current:
            pass
        elif self.mode == "check" and re.match(r"1\.\.[0-9]+", text):
            self.plan = int(re.match(r"1\.\.([0-9]+)", text)[1])
            skip = DIRECTIVE.search(text)
            if not self.plan and skip and skip[1].upper() == "SKIP":
                self.skip_all = skip[2]
        elif self.mode == "check" and RESULT.fullmatch(text):
            self.result(RESULT.fullmatch(text), time)
        elif not BOILERPLATE.match(text) and len(self.output) < 200:
            self.output.append(text)

    def result(self, match, time):
        wrong, number, name = match.groups()
        directive = DIRECTIVE.search(name)
        kind = reason = ""
        if directive:
            kind, reason = directive[1].upper(), directive[2]
            name = name[:directive.start()].rstrip()
            # The kernel's kselftest.h has the name behind the directive.
            if not name:
                name, _, reason = reason.partition(": ")
        # The harness says why in an expected failure's output.
        output = [line for line in self.output if line.strip("# ")]
        if kind == "SKIP" and not wrong:
            result = "skip"
        elif kind in ("XFAIL", "TODO"):
            result = "xfail"
        elif kind == "XPASS" and not wrong:
            result = "xpass"
        else:
            result = "fail" if wrong else "pass"
        if not reason and result in ("fail", "xfail") and output:
            said = [line for line in output if "xpected" in line or name in line]
            reason = (said or output)[0].lstrip("# ")
            reason = reason.removeprefix(name + ": ")
        if number and int(number) != len(self.tests()) + 1 and not self.misnumbered:
            self.misnumbered = f"test {number} is the {len(self.tests()) + 1}th"
        self.current["tests"].append({
            "name": name, "result": result, "reason": reason, "output": output,
            "seconds": None if time is None else round(time - self.before, 3)})
        self.before = time
        self.output = []

    def tests(self):
        return [t for t in self.current["tests"] if "judge" not in t]

    def end(self, status, time):
        program = self.current
        if not program:
            return
        program["status"] = status
        if time is not None:
            program["seconds"] = round(time - self.start, 3)
        program["output"] = self.output[-50:]
        if self.mode == "check":
            self.judge(program, status)
        elif status is None:
            add(program, "command", "it did not end")
        else:
            self.command_ended = True
            program["tests"].append({
                "name": "command", "result": "fail" if status else "pass",
                "reason": f"exit status {status}" if status else "",
                "output": [], "seconds": program["seconds"]})
        self.current = None

    def judge(self, program, status):
        tests = self.tests()
        results = {t["result"] for t in tests}
        # An expected failure excuses what a program with a failed test exits with.
        said = "fail" in results or status == 1 and "xfail" in results
        skipped = results == {"skip"}
        if status is None:
            add(program, "end", "it did not end")
        elif self.skip_all is not None and not tests and status in (0, 4):
            program["tests"].append({
                "name": "all", "result": "skip", "reason": self.skip_all,
                "output": [], "seconds": None})
        elif not tests and self.plan is None:
            add(program, "results", f"no results, exit status {status}", program["output"])
        elif self.plan is None:
            add(program, "plan", "no plan")
        elif self.plan != len(tests):
            add(program, "plan", f"planned {self.plan} tests, saw {len(tests)}, "
                f"exit status {status}")
        elif not tests:
            add(program, "plan", "no test was run", program["output"])
        elif self.misnumbered:
            add(program, "plan", self.misnumbered)
        elif status >= 128:
            add(program, "exit status", f"exit status {status}: killed")
        elif status and not said and not (status == 4 and skipped):
            add(program, "exit status", f"exit status {status} without a failed test")
        names = [t["name"] for t in tests]
        for name in sorted({n for n in names if names.count(n) > 1}):
            add(program, "plan", f"two results of {name}")


def add(program, name, reason, output=()):
    """A failure that is no test's."""
    program["tests"].append({"name": name, "result": "fail", "reason": reason,
                             "output": list(output), "seconds": None, "judge": True})


def find(programs, name):
    """The last program called NAME; one is made for what is not a program."""
    for program in reversed(programs):
        if program["name"] == name:
            return program
    programs.append({"name": name, "seconds": None, "status": None, "tests": [],
                     "reports": []})
    return programs[-1]


def judge_logs(result, times, console, end):
    """(programs, judged): judged is True, or why the guest could not be."""
    mode = end.get("mode", "check")
    tap = Tap(result, times, mode)
    log = Console(console)
    programs = tap.programs

    def guest(name, reason):
        add(find(programs, "guest"), name, reason)

    for name, reason in tap.guest:
        guest(name, reason)
    if mode == "run" and not tap.command_ended and not programs:
        guest("command", "it did not end")
    judged = end.get("unjudged") or True
    where = f", in {tap.last_program}" if tap.last_program else ""
    if judged is not True:
        judged += where
    elif end.get("hang"):
        guest("end", f"the guest hung{where}: {end['hang']}")
    elif "qemu" not in end:
        # The runner writes it in the end, and got not so far.
        judged = "there is no record of its end"
    elif end["qemu"] != "0":
        judged = f"QEMU ended with status {end['qemu']}{where}{end.get('said', '')}"
    elif not tap.done:
        if end.get("accel") != "kvm" and any(QEMU_FAULT.search(r["line"])
                                             for _, r in log.reports):
            judged = "QEMU executed a breakpoint that was patched away (Oops: int3)"
        elif not log.began and not programs:
            guest("end", "the kernel did not boot")
        else:
            guest("end", f"the guest ended early{where}")
    if judged is not True and tap.last_program:
        last = find(programs, tap.last_program)
        last["tests"] = [t for t in last["tests"]
                         if not ("judge" in t and t["name"] in ("end", "command"))]
    for name, report in log.reports:
        owner = find(programs, name.removeprefix("after "))
        owner["reports"].append(report)
        if not report["expected"]:
            late = ", after its end" if name.startswith("after ") else ""
            add(owner, "kernel log", f"{report['line']}{late}",
                report["text"].splitlines()[:60])
    for name, problem in log.problems:
        add(find(programs, name.removeprefix("after ")), "kernel log", problem)
    # Then reports of the kernel would not be seen either.
    for program in programs:
        if program["status"] is not None and program["name"] not in log.began:
            guest("kernel log", f"it does not mention {program['name']}")
            break
    if not any(p["tests"] for p in programs) and judged is True:
        guest("tests", "nothing was run")
    return programs, judged


def judge(directory):
    """Judge the logs in DIRECTORY."""
    def lines(name):
        try:
            text = (directory / name).read_text(errors="replace")
        except OSError:
            return []
        return text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    times = [float(t) for t in lines("result.times") if t]
    end = dict(line.split(" ", 1) for line in lines("end") if " " in line)
    end["said"] = "".join(f": {line}" for line in lines("qemu.log")[-1:] if line)
    return judge_logs(lines("result.log"), times, lines("console.log"), end)


def nothing_tested(programs):
    """A run in which every test skips has shown nothing."""
    results = {t["result"] for p in programs for t in p["tests"] if p["name"] != "unload"}
    return results <= {"skip"}
