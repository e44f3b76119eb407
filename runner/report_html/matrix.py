# SPDX-License-Identifier: GPL-2.0
"""The race matrix as heat maps, and the holds: mm operation x device operation."""
from . import lanes, model
from .page import anchor, esc, klass, scroll, seconds

SHADES = ((0.25, "pass"), (0.5, "pass p2"), (1, "pass p3"))


def cell(test, link="", windows=1):
    """The td of a test: its class is the colour, its text says the same.

    Of more than one window the text is the sum, the shade is the mean.
    """
    if test is None:
        return "<td>"
    if model.is_unreachable(test):
        return f'<td class=unr>{link and f"<a href=#{link}>"}–{link and "</a>"}'
    result = test["result"]
    if result == "pass":
        took = test.get("seconds")
        shade = next((c for limit, c in SHADES if (took or 0) < limit * windows),
                     "pass p4")
        return f'<td class="{shade}">{"ok" if took is None else seconds(took)}'
    word = {"fail": "FAIL", "xfail": "xf", "xpass": "XPASS", "skip": "skip"}[result]
    text = f"<a href=#{link}>{word}</a>" if link else word
    return f"<td class={klass(result)}>{text}"


def legend():
    """The meaning of the colours and words."""
    return ('<p class=legend>'
        '<span class=pass>0.1</span>passed, in seconds (or ok), '
        '<span class="pass p2">0.4</span>'
        '<span class="pass p3">0.8</span><span class="pass p4">2</span>darker '
        'when slower; <span class=fail>FAIL</span><span class=xfail>xf</span>'
        'expected failure, <span class=unr>–</span>unreachable, '
        '<span class=skipped>skip</span>not run here.</p>')


class Table:
    """The cells of all kernels, in the order in which they are first seen."""

    def __init__(self, run):
        self.kernels = [k for k in run.kernels.values() if k.cells(model.MATRIX)]
        self.cells = {k.name: {} for k in self.kernels}
        self.windows, self.mms = {}, {}
        for k in self.kernels:
            for name, test in k.cells(model.MATRIX).items():
                where = model.split_cell(name)
                if not where:
                    continue
                device, mm, window = where
                self.windows.setdefault(device, {})[window] = None
                self.mms[mm] = None
                self.cells[k.name][where] = test

    def worst(self, kernel, device, mm):
        """The worst cell of a pair, and the number of its windows."""
        found = [t for w in self.windows[device]
             for t in [self.cells[kernel].get((device, mm, w))] if t]
        order = {r: i for i, r in enumerate(model.RESULTS)}
        return min(found, key=lambda t: (model.is_unreachable(t),
                         order[t["result"]]), default=None), found


def overview(table):
    """One cell for each pair: its worst window, and the time of all."""
    n = len(table.kernels)
    head = "".join(f"<th scope=colgroup colspan={n}><a href=#m-{anchor(d)}>{esc(d)}"
               "</a>" for d in table.windows)
    second = "".join(f"<th scope=col>{esc(k.name)}" for _ in table.windows
             for k in table.kernels)
    rows = []
    for mm in table.mms:
        row = f"<tr><th scope=row>{esc(mm)}"
        for device in table.windows:
            for k in table.kernels:
                worst, found = table.worst(k.name, device, mm)
                took = [t["seconds"] for t in found
                    if t.get("seconds") is not None]
                if worst and worst["result"] == "pass":
                    worst = dict(worst, seconds=sum(took) if took else None)
                row += cell(worst, f"m-{anchor(device)}", len(found))
        rows.append(row)
    return scroll("race matrix, worst window of each pair", (
        "<table class=heat><caption>Each pair by its worst window; the seconds are "
        "those of all its windows</caption>"
        f"<thead><tr><td rowspan=2>{head}<tr>{second}<tbody>" + "\n".join(rows) +
        "</table>"))


def of_device(table, device):
    """All windows of a device operation against all mm operations."""
    windows, n = table.windows[device], len(table.kernels)
    head = "".join(f"<th scope=colgroup colspan={n}><a href=#w-{anchor(device)}."
               f"{anchor(w)}>{esc(w)}</a>" for w in windows)
    second = "".join(f"<th scope=col>{esc(k.name)}" for _ in windows
             for k in table.kernels)
    rows = []
    for mm in table.mms:
        row = f"<tr><th scope=row>{esc(mm)}"
        for w in windows:
            for k in table.kernels:
                test = table.cells[k.name].get((device, mm, w))
                link = ""
                if test and test["result"] in ("fail", "xfail", "xpass"):
                    link = test_anchor(k.name, model.MATRIX,
                               f"{device}.{mm}.{w}")
                row += cell(test, link)
        rows.append(row)
    return (f"<details open><summary><b>{esc(device)}</b>: {len(windows)} windows"
        "</summary>" + scroll(f"race matrix, {device}", (
            f"<table class=heat id=m-{anchor(device)}><thead><tr><td rowspan=2>"
            f"{head}<tr>{second}<tbody>" + "\n".join(rows) + "</table>")) +
        "</details>")


def test_anchor(kernel, program, name):
    """The id of the place that shows a test in full."""
    return anchor(f"t-{kernel}-{program}-{name}")


def windows(table, points):
    """How a cell of each window goes, whatever the mm operation."""
    out = []
    for device, ws in table.windows.items():
        for w in ws:
            name = f"{device}.OPERATION.{w}"
            out.append(f"<details id=w-{anchor(device)}.{anchor(w)}><summary>"
                   f"<code>{esc(device)}</code> in <code>{esc(w)}</code>"
                   "</summary>" + lane_table(name, {"result": "pass"}, points) +
                   "</details>")
    return "".join(out)


def lane_table(name, test, points):
    """The two lanes of a cell."""
    steps = lanes.of_cell(name, test, points)
    if not steps:
        return ""
    rows = "".join(
        "<tr>" + "".join(f"<td{f' class={c}' if t else ''}>{esc(t)}"
                 for t, c in zip(step, ("dev", "mm")))
        for step in steps)
    return ("<table class='lanes lane'><thead><tr><th scope=col>device<th scope=col>mm"
        f"<tbody>{rows}</table>")


def holds(run):
    """The cells of the holds in the kernel: a row for each place."""
    kernels = [k for k in run.kernels.values() if k.cells(model.HOLDS)]
    devices, places, cells = {}, {}, {}
    for k in kernels:
        for name, test in k.cells(model.HOLDS).items():
            where = model.split_hold(name)
            if not where:
                continue
            device, mm, function, hit = where
            devices[device] = None
            places[mm, function, hit] = None
            cells[k.name, where] = (name, test)
    if not cells:
        return ""
    n = len(kernels)
    head = "".join(f"<th scope=colgroup colspan={n}>{esc(d)}" for d in devices)
    second = "".join(f"<th scope=col>{esc(k.name)}" for _ in devices for k in kernels)
    rows = []
    for mm, function, hit in places:
        row = f"<tr><th scope=row>{esc(mm)} at {esc(function)}() #{esc(hit)}"
        for d in devices:
            for k in kernels:
                name, test = cells.get((k.name, (d, mm, function, hit)),
                               ("", None))
                link = ""
                if test and test["result"] in ("fail", "xfail", "xpass"):
                    link = test_anchor(k.name, model.HOLDS, name)
                row += cell(test, link)
        rows.append(row)
    return scroll("holds in the kernel", (
        f"<table class=heat><thead><tr><td rowspan=2>{head}<tr>{second}<tbody>" +
        "\n".join(rows) + "</table>"))


def show(run, points):
    """The section."""
    table = Table(run)
    if not table.windows:
        return ""
    return (legend() + overview(table) + "<h3>By device operation</h3>" +
        "".join(of_device(table, d) for d in table.windows) +
        "<h3>How a cell of each window goes</h3>" + windows(table, points))
