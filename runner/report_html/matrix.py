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
    result = test["result"]
    if result == "pass":
        took = test.get("seconds")
        shade = next((c for limit, c in SHADES if (took or 0) < limit * windows),
                     "pass p4")
        return f'<td class="{shade}">{"ok" if took is None else seconds(took)}'
    word = {"fail": "FAIL", "xfail": "xf", "xpass": "XPASS", "skip": "skip"}[result]
    if model.is_unreachable(test):
        result, word = "absent", "–"
    text = f"<a href=#{link}>{word}</a>" if link else word
    return f"<td class={klass(result)}>{text}"


def legend():
    """The meaning of the colours and words."""
    return ('<p class=legend><span class=pass>0.1</span>passed, in seconds (or ok), '
            '<span class="pass p2">0.4</span><span class="pass p3">0.8</span>'
            '<span class="pass p4">2</span>darker when slower; <span class=fail>FAIL'
            '</span><span class=xfail>xf</span>expected failure, <span class=unr>–</span>'
            'unreachable, <span class=skipped>skip</span>not run here.</p>')


class Table:
    """The cells of a program on all kernels, in the order in which they are first seen.

    SPLIT makes the key of a cell of its name: the device operation comes first.
    """

    def __init__(self, run, program=model.MATRIX, split=model.split_cell):
        self.program = program
        self.kernels = [k for k in run.kernels.values() if k.cells(program)]
        self.cells = {k.name: {key: (name, test) for name, test
                               in k.cells(program).items() if (key := split(name))}
                      for k in self.kernels}
        self.keys = list(dict.fromkeys(w for cells in self.cells.values() for w in cells))
        # By device operation those of the matrix
        self.windows = {}
        for device, _, window, *_ in self.keys:
            self.windows.setdefault(device, {})[window] = None

    def td(self, kernel, where):
        """The td of a cell; one that failed leads to its failure."""
        name, test = self.cells[kernel].get(where, ("", None))
        failed = test and test["result"] in ("fail", "xfail", "xpass")
        return cell(test, test_anchor(kernel, self.program, name) if failed else "")

    def heat(self, label, rows, columns, td, tag="<table class=heat>"):
        """ROWS and COLUMNS are headings by key; TD is asked for the cell of a kernel, a
        row and a column."""
        head = "".join(f"<th scope=colgroup colspan={len(self.kernels)}>{text}"
                       for text in columns.values())
        names = "".join(f"<th scope=col>{esc(k.name)}" for _ in columns
                        for k in self.kernels)
        body = "\n".join(f"<tr><th scope=row>{esc(text)}" + "".join(
            td(k.name, row, column) for column in columns for k in self.kernels)
            for row, text in rows.items())
        return scroll(label, f"{tag}<thead><tr><td rowspan=2>{head}<tr>{names}<tbody>"
                      f"{body}</table>")

    def mms(self):
        """The mm operations of the matrix, as headings."""
        return {mm: mm for _, mm, _ in self.keys}

    def worst(self, kernel, device, mm):
        """The worst cell of a pair, and all of them."""
        cells = self.cells[kernel]
        found = [cells[device, mm, w][1] for w in self.windows[device]
                 if (device, mm, w) in cells]
        return min(found, default=None, key=lambda t: (
            model.is_unreachable(t), model.RESULTS.index(t["result"]))), found


def overview(table):
    """One cell for each pair: its worst window, and the time of all."""
    def td(kernel, mm, device):
        worst, found = table.worst(kernel, device, mm)
        took = [t["seconds"] for t in found if t.get("seconds") is not None]
        if worst and worst["result"] == "pass":
            worst = dict(worst, seconds=sum(took) if took else None)
        return cell(worst, f"m-{anchor(device)}", len(found))

    columns = {d: f"<a href=#m-{anchor(d)}>{esc(d)}</a>" for d in table.windows}
    return table.heat("race matrix, worst window of each pair", table.mms(), columns, td,
                      "<table class=heat><caption>Each pair by its worst window; the "
                      "seconds are those of all its windows</caption>")


def of_device(table, device):
    """All windows of a device operation against all mm operations."""
    columns = {w: f"<a href=#w-{anchor(device)}.{anchor(w)}>{esc(w)}</a>"
               for w in table.windows[device]}
    return (f"<details open><summary><b>{esc(device)}</b>: {len(columns)} windows"
            "</summary>" +
            table.heat(f"race matrix, {device}", table.mms(), columns,
                       lambda kernel, mm, w: table.td(kernel, (device, mm, w)),
                       f"<table class=heat id=m-{anchor(device)}>") + "</details>")


def test_anchor(kernel, program, name):
    """The id of the place that shows a test in full."""
    return anchor(f"t-{kernel}-{program}-{name}")


def windows(table, points):
    """How a cell of each window goes, whatever the mm operation."""
    out = []
    for device, names in table.windows.items():
        for w in names:
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
    table = Table(run, model.HOLDS, model.split_hold)
    if not table.keys:
        return ""
    return table.heat("holds in the kernel",
                      {(mm, function, hit): f"{mm} at {function}() #{hit}"
                       for _, mm, function, hit in table.keys},
                      {d: esc(d) for d in table.windows},
                      lambda kernel, place, d: table.td(kernel, (d, *place)))


def show(run, points):
    """The section."""
    table = Table(run)
    if not table.keys:
        return ""
    return (legend() + overview(table) + "<h3>By device operation</h3>" +
            "".join(of_device(table, d) for d in table.windows) +
            "<h3>How a cell of each window goes</h3>" + windows(table, points))
