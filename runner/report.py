#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One self-contained HTML file of the results of a run.

The file has no script and loads nothing. Several results are shown as one run: the
shards of a run, or runs on other kernels. --cell prints how a cell of the race matrix
goes, as text that fits in a mail.
"""
import argparse
import os
import pathlib
import sys

from report_html import lanes, matrix, model, sections
from report_html.page import esc

TOP = pathlib.Path(__file__).resolve().parent.parent


def page(run, base=None, coverage=None, top=TOP):
    """The report as a string."""
    points = lanes.Points(top)
    path = top / "Documentation/findings.md"
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = [
        ("failures", "Failures, expected ones too", sections.failures(run, points)),
        ("changes", "Changes", sections.changed(run, base) if base else ""),
        ("matrix", "Race matrix", matrix.show(run, points)),
        ("holds", "Holds in the kernel", matrix.holds(run)),
        ("findings", "Findings", sections.known(run, known) if known else ""),
        ("skips", "Skips by reason", sections.skips(run)),
        ("slowest", "Slowest", sections.slowest(run)),
        ("reports", "Kernel reports", sections.reports(run)),
        ("coverage", "Coverage", coverage and
         f'<p><a href="{esc(coverage)}">Lines of the modules that the tests run</a></p>'),
    ]
    parts = [p for p in parts if p[2]]
    names = ", ".join(run.kernels)
    style = (pathlib.Path(__file__).parent / "report_html/style.css").read_text()
    links = "".join(f"<li><a href=#{i}>{t}</a>" for i, t, _ in parts)
    body = "".join(f"<section id={i}><h2>{t}</h2>{inner}</section>\n"
                   for i, t, inner in parts)
    return (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>xmirror: {esc(run.verdict())} on {esc(names)}</title>\n"
        f"<style>\n{style}</style></head>\n<body>"
        "<a class=skip href=#main>Skip to the results</a>\n"
        f"<header><h1>xmirror on {esc(names)}</h1>"
        f"<nav aria-label=Sections><ul>{links}</ul></nav></header>\n<main id=main>\n"
        f"<section id=summary aria-label=Summary>{sections.summary(run)}</section>\n"
        f"{body}</main></body></html>\n")


def print_cell(run, name):
    """The cell on each kernel, as text."""
    points = lanes.Points(TOP)
    found = [lanes.as_text(name, k.tests[program, name], points, k.name)
             for k in run.kernels.values() for program in (model.MATRIX, model.HOLDS)
             if (program, name) in k.tests]
    if not found:
        raise model.Error(f"{name}: no such cell DEVICE.MM.WINDOW in the results")
    print(*found, sep="\n")


def main(argv=None):
    """0, or 2 with a message if something can't be read or written."""
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__)
    parser.add_argument("results", nargs="*", metavar="RESULTS.json", default=[None],
                        help="or a log directory (the last run)")
    parser.add_argument("-o", "--output", default="report.html", metavar="FILE",
                        help="the file to write (report.html)")
    parser.add_argument("--base", metavar="OTHER.json", action="append",
                        help="results to compare with")
    parser.add_argument("--coverage", metavar="PATH",
                        help="link the coverage that is there")
    parser.add_argument("--cell", metavar="NAME",
                        help="print this cell as text, write no file")
    args = parser.parse_args(argv)
    try:
        run = model.Run(args.results)
        if args.cell:
            print_cell(run, args.cell.removeprefix("race_matrix:"))
            return 0
        base = model.Run(args.base) if args.base else None
        coverage = args.coverage
        if coverage and "://" not in coverage:
            coverage = os.path.relpath(coverage, os.path.dirname(args.output) or ".")
        text = page(run, base, coverage)
        pathlib.Path(args.output).write_text(text, encoding="utf-8")
    except (model.Error, OSError) as e:
        print(f"report.py: {e}", file=sys.stderr)
        return 2
    print(f"{args.output}: {len(text.encode()) // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
