# SPDX-License-Identifier: GPL-2.0
"""Tests of the HTML report, on small results but for one."""
import contextlib
import html.parser
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import report
from report_html import findings, lanes, matrix, model, sections

from . import report_sample

VOID = {"meta", "br", "hr", "img", "input", "link"}
OPTIONAL = {"tr", "td", "th", "thead", "tbody", "li"}


class Checker(html.parser.HTMLParser):
    """Tags that are closed, ids that are there once, links that lead somewhere."""

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.links, self.loads = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.loads += [v for k, v in attrs.items() if k == "src"]
        if tag == "a":
            self.links.append(attrs["href"])
        if tag not in VOID | OPTIONAL:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in OPTIONAL and self.stack.pop() != tag:
            raise AssertionError(f"</{tag}> closes something else")


def test(name, result="pass", reason="", output=(), seconds=0.1):
    return {"name": name, "result": result, "reason": reason,
            "output": list(output), "seconds": seconds}


def kernel(name="7.x", judged=True, reports=(), **programs):
    return {"name": name, "release": name, "arch": "x86_64", "judged": judged,
            "programs": [{"name": p, "seconds": 1, "status": 0, "tests": t,
                          "reports": list(reports)} for p, t in programs.items()]}


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.nr = 0

    def tearDown(self):
        self.dir.cleanup()

    def file(self, *kernels, **more):
        self.nr += 1
        path = pathlib.Path(self.dir.name) / f"{self.nr}.json"
        path.write_text(json.dumps({"format": 1, "kernels": kernels, **more}))
        return str(path)

    def run_of(self, *kernels):
        return model.Run([self.file(*kernels)])


class Verdict(Case):
    def test_a_run_that_tested_nothing_has_not_passed(self):
        self.assertEqual("nothing tested", self.run_of(kernel()).verdict())
        skipped = kernel(a=[test("t.t", "skip", "no device")])
        self.assertEqual("nothing tested", self.run_of(skipped).verdict())

    def test_failures_count(self):
        for result, verdict in (("pass", "passed"), ("xfail", "passed"),
                                ("fail", "failed"), ("xpass", "failed")):
            run = self.run_of(kernel(a=[test("t.a"), test("t.b", result)]))
            self.assertEqual(verdict, run.verdict(), result)

    def test_only_an_announced_report_is_none(self):
        for expected, verdict in ((True, "passed"), (False, "failed")):
            run = self.run_of(kernel(a=[test("t.a")], reports=[
                {"line": "BUG: x", "text": "BUG: x", "expected": expected}]))
            self.assertEqual(verdict, run.verdict())

    def test_a_kernel_that_could_not_be_judged(self):
        run = self.run_of(kernel(a=[test("t.a")]), kernel("6.1", "the guest hung"))
        self.assertEqual("not judged", run.verdict())
        self.assertIn("the guest hung", sections.summary(run))

    def test_shards_of_a_kernel_are_one(self):
        run = model.Run([self.file(kernel(a=[test("t.a")])),
                         self.file(kernel(b=[test("t.b", "fail")]))])
        self.assertEqual(2, len(run.kernels["7.x"].tests))
        self.assertEqual("failed", run.verdict())

    def test_a_log_directory_is_its_results(self):
        path = pathlib.Path(self.dir.name) / "results.json"
        path.write_text(json.dumps({"format": 1, "kernels": [kernel(a=[test("t.a")])]}))
        self.assertEqual("passed", model.Run([self.dir.name]).verdict())

    def test_bad_input_is_named(self):
        path = pathlib.Path(self.dir.name) / "bad"
        for text in ("", "[]", '{"format": 2}', '{"format": 1, "kernels": [{}]}'):
            path.write_text(text)
            with self.assertRaisesRegex(model.Error, "bad"):
                model.Run([str(path)])
        with self.assertRaisesRegex(model.Error, "a:t.a"):
            self.run_of(kernel(a=[test("t.a", "maybe")]))


class Changes(Case):
    def test_only_what_differs(self):
        base = self.run_of(kernel(a=[test("t.same"), test("t.mended", "fail"),
                                     test("t.gone"), test("t.broken")]))
        run = self.run_of(kernel(a=[test("t.same"), test("t.mended"),
                                    test("t.broken", "fail"), test("t.new")]))
        self.assertEqual([("7.x", "a", "t.broken", "pass", "fail"),
                          ("7.x", "a", "t.mended", "fail", "pass"),
                          ("7.x", "a", "t.new", "absent", "pass"),
                          ("7.x", "a", "t.gone", "pass", "absent")],
                         model.changes(base, run))
        self.assertNotIn("t.same", sections.changed(run, base))

    def test_two_kernels(self):
        base = self.run_of(kernel("6.12", a=[test("t.a")]))
        run = self.run_of(kernel("7.x", a=[test("t.a", "fail")]))
        self.assertEqual("6.12 → 7.x", model.changes(base, run)[0][0])
        both = self.run_of(kernel("6.1"), kernel("6.12"))
        with self.assertRaises(model.Error):
            model.changes(both, run)


class Matrix(Case):
    def test_each_verdict_has_its_colour_and_word(self):
        for t, want in ((test("a.b.c", seconds=0.04), "<td class=\"pass\">0.0"),
                        (test("a.b.c", seconds=None), "<td class=\"pass\">ok"),
                        (test("a.b.c", seconds=12), "<td class=\"pass p4\">12"),
                        (test("a.b.c", "fail"), "<td class=fail>FAIL"),
                        (test("a.b.c", "xfail"), "<td class=xfail>xf"),
                        (test("a.b.c", "xpass"), "<td class=xpass>XPASS"),
                        (test("a.b.c", "skip", "no swap"), "<td class=skipped>skip"),
                        (test("a.b.c", "skip", "unreachable: x"), "<td class=unr>–"),
                        (None, "<td>")):
            self.assertEqual(want, matrix.cell(t))

    def test_a_failure_is_never_behind_another_window(self):
        run = self.run_of(kernel(race_matrix=[
            test("read.unmap.fault_begin", "skip", "unreachable: x"),
            test("read.unmap.fault_walked"),
            test("read.unmap.fault_done", "fail"), test("odd")]))
        worst, found = matrix.Table(run).worst("7.x", "read", "unmap")
        self.assertEqual(("fail", 3), (worst["result"], len(found)))
        unreachable_last = self.run_of(kernel(race_matrix=[
            test("read.unmap.fault_begin", "skip", "unreachable: x"),
            test("read.unmap.fault_walked")]))
        worst, _ = matrix.Table(unreachable_last).worst("7.x", "read", "unmap")
        self.assertEqual("pass", worst["result"])

    def test_name_of_a_hold(self):
        for name, want in (("a.b@f", ("a", "b", "f", "1")), ("a.b@f#2", ("a", "b", "f", "2")),
                           ("huge:a.b@f#1+g#2", ("huge:a", "b", "f", "1+g#2")),
                           ("a.b.c", None), ("a@f", None)):
            self.assertEqual(want, model.split_hold(name))

    def test_holds(self):
        run = self.run_of(kernel(race_holds=[
            test("exclusive.fork@folio_trylock#2", "fail")]))
        self.assertIn("fork at folio_trylock() #2", matrix.holds(run))
        self.assertEqual("", matrix.holds(self.run_of(kernel())))


class Lanes(unittest.TestCase):
    points = lanes.Points(report.TOP)

    def test_every_point_is_one_of_the_header_and_has_a_place(self):
        for point in (p for path in lanes.PATHS for p in path):
            self.assertIn(point, self.points.text)
            self.assertRegex(self.points.place.get(point, ""), r"^\w+/\w+\.c:\d+$")

    def test_every_window_is_a_point(self):
        for name in report_sample.cells():
            point, _ = lanes.window_point(name.rpartition(".")[2])
            self.assertIn(point, self.points.text)

    def test_the_side_that_stops(self):
        steps = lanes.of_cell("read.unmap.fault_walked", test("x"), self.points)
        stop = [s for s in steps if "stops at FAULT_WALKED" in s[0]]
        self.assertEqual(1, len(stop))
        self.assertIn("no lock held", stop[0][0])
        steps = lanes.of_cell("read.unmap.mm_inv_exit", test("x"), self.points)
        self.assertTrue(any("stops at INV_EXIT" in mm for _, mm in steps))

    def test_text_fits_in_a_mail(self):
        for name in ("to_device.unmap.migrate_copied", "evict.unmap.mm_inv_enter",
                     "exclusive.fork@folio_trylock#2"):
            text = lanes.as_text(name, test(name, "fail", output=["x " * 99]),
                                 self.points)
            self.assertLessEqual(max(map(len, text.splitlines())), lanes.MAIL)
            self.assertIn("ends", text)


class Findings(Case):
    TEXT = """# Findings
## 1. `f()` is wrong

- **Kernels:** 7.3.4.
- **Test:** `reclaim`, `of_large_folios`: XFAIL.
- **Code:** `mm/rmap.c`

## 2. Cells
- **Test:** `race_matrix`, `to_device.swap_off_cached`: XFAIL.
"""

    def test_entries_and_what_their_tests_say(self):
        one, two = findings.read(self.TEXT)
        self.assertEqual((1, "f() is wrong", "7.3.4."), one[:3])
        run = self.run_of(kernel(
            reclaim=[test("global.of_large_folios", "xfail"), test("global.other")],
            other=[test("global.of_large_folios", "fail")],
            race_matrix=[test("to_device.swap_off_cached.migrate_begin", "xfail"),
                         test("to_device.swap_off_cached.migrate_moved")]))
        k = run.kernels["7.x"]
        self.assertEqual(("xfail", 1, 1), findings.state(one, k))
        self.assertEqual(("xfail", 1, 2), findings.state(two, k))
        self.assertEqual("absent", findings.state(
            one, self.run_of(kernel()).kernels["7.x"])[0])

    def test_the_document_has_entries(self):
        text = (report.TOP / "Documentation/findings.md").read_text()
        found = findings.read(text)
        self.assertEqual([f.nr for f in found], list(range(1, len(found) + 1)))
        self.assertTrue(found)


class Page(Case):
    def check(self, text):
        c = Checker()
        c.feed(text)
        self.assertEqual([], c.stack)
        self.assertEqual(len(c.ids), len(set(c.ids)))
        self.assertEqual([], c.loads)
        for link in c.links:
            if link.startswith("#"):
                self.assertIn(link[1:], c.ids)
        self.assertNotIn("<script", text)
        self.assertNotIn("http", text.replace(report_sample.FAILS, ""))

    def test_text_of_a_kernel_is_no_markup(self):
        run = self.run_of(kernel(
            a=[test("t.<b>", "fail", "<script>", ["<img src=x>"]),
               test("t.s", "skip", "<i>")],
            reports=[{"line": "BUG: <u>", "text": "<script>", "expected": False}]))
        text = report.page(run)
        for tag in ("<script>", "<img", "<i>", "<u>"):
            self.assertNotIn(tag, text)

    def test_sections_of_small_results(self):
        run = self.run_of(kernel(
            a=[test("t.f", "fail", output=["seen: 1"]), test("t.s", "skip", "no swap")],
            reports=[{"line": "BUG: bad", "text": "BUG: bad\n trace",
                      "expected": False}]))
        text = report.page(run, self.run_of(kernel(a=[test("t.f")])), "cov/index.html")
        self.check(text)
        for words in ("seen: 1", "no swap", "BUG: bad\n trace", "cov/index.html",
                      "TESTS=a:t.f"):
            self.assertIn(words, text)

    def test_full_matrix_on_three_kernels_is_below_5_mb(self):
        path = self.file()
        pathlib.Path(path).write_text(json.dumps(report_sample.results()))
        run = model.Run([path])
        self.assertGreater(len(run.kernels["7.3"].cells(model.MATRIX)), 4300)
        text = report.page(run)
        self.check(text)
        self.assertLess(len(text.encode()), 5 << 20)

    def test_command(self):
        out, cell = str(pathlib.Path(self.dir.name) / "r.html"), "read.unmap.fault_done"
        path = self.file(kernel(race_matrix=[test(cell)]))
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(0, report.main([path, "-o", out]))
            self.assertEqual(0, report.main([path, "--cell", cell]))
        self.assertTrue(pathlib.Path(out).exists())
        self.assertIn("stops at FAULT_DONE", said.getvalue().replace("\n", " "))
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(2, report.main([path, "--cell", "no.such.cell"]))
            self.assertEqual(2, report.main([path + ".none"]))
        self.assertIn("no.such.cell", said.getvalue())

    def test_without_results_it_is_the_last_run(self):
        out = str(pathlib.Path(self.dir.name) / "r.html")
        with mock.patch("xm.results.last_link",
                        lambda: self.file(kernel(a=[test("t.of_last_run", "fail")]))), \
                contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(0, report.main(["-o", out]))
        self.assertIn("t.of_last_run", pathlib.Path(out).read_text())
