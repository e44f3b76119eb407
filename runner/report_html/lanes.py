# SPDX-License-Identifier: GPL-2.0
"""The interleaving of a cell of the race matrix, as steps in two lanes.

One side is stopped in the window, the other one runs until it has ended or waits
for the first, then the first goes on: see selftests/race/matrix/matrix.h. A
point and the locks that are held there are as include/uapi/linux/xmirror.h describes
them; its place in the source is looked for in the modules.
"""
import itertools
import re
import textwrap

from . import model

# The points of each call in the order in which it passes them.
PATHS = (
    ("FAULT_BEGIN", "FAULT_LOCKED", "FAULT_WALKED", "FAULT_DONE"),
    ("EXCL_BEGIN", "INV_OWN", "EXCL_MADE", "EXCL_COMMITTED", "EXCL_DONE"),
    ("MIGRATE_BEGIN", "MIGRATE_UNMAPPED", "MIGRATE_COPIED", "MIGRATE_MOVED"),
    ("TO_RAM_BEGIN", "TO_RAM_UNMAPPED", "TO_RAM_COPIED", "TO_RAM_MOVED",
     "TO_RAM_DONE"),
    ("UNPLUG", "EVICT_BEGIN", "EVICT_UNMAPPED", "EVICT_COPIED"),
    ("INV_ENTER", "QUEUES_STOPPED", "INV_EXIT"),
    ("ACCESS",), ("RELEASE",), ("RESTORE_BEGIN",),
)
MAIL = 72


class Points:
    """The points, as the tree at @top describes them."""

    def __init__(self, top):
        self.text, self.place = {}, {}
        header = top / "include/uapi/linux/xmirror.h"
        if header.exists():
            self.read_header(header.read_text(encoding="utf-8"))
        for folder in ("src", "test_driver"):
            for path in sorted((top / folder).rglob("*.c")):
                self.read_source(path, str(path.relative_to(top)))

    def read_header(self, text):
        """The kernel-doc of enum xmirror_point."""
        m = re.search(r"enum xmirror_point -.*?\*/", text, re.S)
        doc = re.sub(r"\n \*[ \t]*", "\n", m.group() if m else "")
        for name, what in re.findall(r"\n@XMIRROR_PT_(\w+):\s*(.*?)(?=\n@|\n\n|\n/)",
                                     doc, re.S):
            self.text[name] = " ".join(what.split())
        # "The same, ..." goes on from the point before.
        for name, what in self.text.items():
            self.text[name] = re.sub(r"^the same(?: as XMIRROR_PT_\w+)?, ", "", what)

    def read_source(self, path, name):
        """Where the modules pass the points."""
        for nr, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"case \w+_PT_|[=<>|]=? *\w+_PT_|SAME\(", line):
                continue
            for point in re.findall(r"\b(?:XM|XMIRROR)_PT_(\w+)", line):
                self.place.setdefault(point, f"{name}:{nr}")

    def describe(self, point):
        """One sentence: what it is, and where."""
        place = f" ({self.place[point]})" if point in self.place else ""
        return self.text.get(point, "") + place


def window_point(window):
    """The point of a window, and whether it is the mm that stops there."""
    return re.sub(r"^(mm|dev)_", "", window).upper(), window.startswith("mm_")


def around(point):
    """The points before and after this one on its way."""
    path = next((p for p in PATHS if point in p), (point,))
    i = path.index(point)
    return path[:i], path[i + 1:]


def of_cell(name, test, points):
    """The steps of a cell: a list of (device's lane, mm's lane)."""
    hold = model.split_hold(name)
    cell = model.split_cell(name)
    second_stop = ""
    if hold:
        device, mm, function, hit = hold
        hit, _, second_stop = hit.partition("+")
        stop, mm_stops = f"held at {function}(), hit {hit}", True
        before, after = (), ()
    elif cell:
        device, mm, window = cell
        point, mm_stops = window_point(window)
        stop = f"stops at {point}: {points.describe(point)}".rstrip(": ")
        before, after = around(point)
    else:
        return []
    names = (f"mm operation {mm}", f"device operation {device}")
    first, second = names if mm_stops else names[::-1]
    other = "runs until it has ended, or waits for the first side"
    output = " ".join(test.get("output") or [])
    if re.search(r"\bwait(s|ed)\b", output):
        other = "runs, and has to wait for the first side"
    steps = [(f"{first} begins", "")]
    steps += [(f"passes {p}", "") for p in before]
    if second_stop:
        place, _, number = second_stop.partition("#")
        other = f"held at {place}(), hit {number}, if it does not wait before"
    steps += [(stop, ""), ("", f"{second} begins"), ("", other), ("goes on", "")]
    if second_stop:
        steps += [("has ended, or waits for the second side", ""), ("", "goes on")]
    steps += [(f"passes {p}", "") for p in after]
    steps += [("ends", "ends")]
    if model.is_unreachable(test):
        steps = [(f"{first} begins", ""), ("ends without a stop", "")]
    return [s[::-1] for s in steps] if mm_stops else steps


def as_text(name, test, points, kernel=""):
    """The same for a mail: no line is longer than MAIL columns."""
    room = (MAIL - 3) // 2
    lines = [f"{name}{' on ' + kernel if kernel else ''}: {test['result']}", ""]
    lines += [f"{'device':<{room}} | mm", f"{'-' * room}-+-{'-' * room}"]
    for device, mm in of_cell(name, test, points):
        left, right = (textwrap.wrap(t, room, break_on_hyphens=False) or [""]
                       for t in (device, mm))
        lines += [f"{a:<{room}} | {b}".rstrip()
                  for a, b in itertools.zip_longest(left, right, fillvalue="")]
    said = [test.get("reason") or "", *(test.get("output") or [])]
    said = [w for s in said if s for w in textwrap.wrap(s, MAIL)]
    return "\n".join(lines + [""] * bool(said) + said) + "\n"
