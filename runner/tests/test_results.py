# SPDX-License-Identifier: GPL-2.0
"""What is made from results: totals, skips, reruns, comparisons, KTAP."""
import contextlib
import io
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from xm import bisect, build, check, cli, guest, kernels, results
from xm.util import Error, Usage


def test(name, result="pass", reason="", **more):
    return {"name": name, "result": result, "reason": reason, "output": [],
            "seconds": 1.0, **more}


def program(name, *tests, status=0):
    return {"name": name, "guest": 0, "seconds": 1.0, "status": status,
            "tests": list(tests), "reports": []}


def run(*programs, name="stock-7.x", judged=True):
    whole = {"format": 1, "seconds": 1.0, "command": ["check", "-t", "race*"], "kernels": [{
        "name": name, "release": "7.3.4", "judged": judged, "logs": ["/log"],
        "seconds": 1.0, "programs": list(programs), "totals": {}}]}
    return results.complete(whole)


MIXED = (program("race_a", test("f.one"), test("f.two", "fail", "a != b"),
                 test("f.three", "skip", "no device"), test("f.four", "xfail", "bug")),
         program("race_b", test("plan", "fail", "no plan", judge=True)),
         program("unload", test("rmmod", "fail")))


class Totals(unittest.TestCase):
    def test_last_line(self):
        lines = results.summary(run(*MIXED))
        self.assertEqual("1 passed, 3 failed, 1 skipped", lines[-1])
        self.assertEqual("1 expected failures", lines[-2])
        self.assertIn("     1  no device (race_a: f.three)", lines)
        self.assertIn("    make check KERNEL=stock-7.x TESTS=race_a:f.two", lines)
        self.assertIn("    runner/xmtest check -t 'race*'", lines)

    def test_status(self):
        good = program("a", test("b"))
        self.assertEqual(0, results.status(run(good)))
        self.assertEqual(1, results.status(run(*MIXED)))
        self.assertEqual(3, results.status(run(good, judged="QEMU died")))
        self.assertEqual(1, results.status(run(*MIXED, judged="QEMU died")))
        self.assertEqual(1, results.status(run()))      # nothing was run

    def test_unjudged_is_said(self):
        lines = results.summary(run(program("a", test("b")), judged="QEMU died"))
        self.assertIn("could not be judged: stock-7.x: QEMU died", lines)

    def test_kernel_without_list_of_skips_is_named(self):
        said = "no list says which skips are expected: stock-7.x"
        skips = run(program("a", test("b"), test("c", "skip", "no device")))
        for listed, expected in ((False, True), (True, False)):
            skips["kernels"][0]["skips_listed"] = listed
            self.assertEqual(expected, said in results.summary(skips))

    def test_expected_failure_that_passes_is_listed(self):
        lines = results.summary(run(program("a", test("b", "xpass", "mended"))))
        self.assertIn("EXPECTED FAILURE THAT PASSED: a: b: mended", lines)
        self.assertEqual("1 passed, 0 failed, 0 skipped", lines[-1])


class Again(unittest.TestCase):
    def test_what_failed(self):
        self.assertEqual({"stock-7.x": "*"}, results.again(run(*MIXED)))
        self.assertEqual({"stock-7.x": "race_a:f.two race_b"},
                         results.again(run(*MIXED[:2])))
        self.assertEqual({}, results.again(run(program("a", test("b")))))
        self.assertEqual({"stock-7.x": "*"},
                         results.again(run(program("a", test("b")), judged="no")))
        self.assertEqual({"stock-7.x": "*"}, results.again(
            run(program("kselftest/run_kselftest.sh", test("selftests: a", "fail")))))

    def test_tests_that_a_program_does_not_know(self):
        self.assertEqual({"stock-7.x": "race_holds:a.b@f#2 race_holds abuse_fuzz"},
                         results.again(run(
                             program("race_holds", test("a.b@f#2", "fail"),
                                     test("windows are found", "fail")),
                             program("abuse_fuzz", test("errors are known", "fail")))))
        for name in ("boot 1", "mutants"):
            with self.subTest(name):
                self.assertIsNone(results.spec(program(name), test("rmmod xmirror")))

    def test_last_run(self):
        """Only one that runs tests by name is."""
        with tempfile.TemporaryDirectory() as name, \
                mock.patch("xm.check.CACHE", Path(name)), \
                mock.patch("xm.results.CACHE", Path(name)):
            (Path(name) / "log").mkdir()
            first = check.Run([])
            first.save()
            check.Run([], "demo", last=False).save()
            self.assertEqual(first.log, results.last_link().resolve())
            check.Run([]).save()
            self.assertNotEqual(first.log, results.last_link().resolve())


class Merge(unittest.TestCase):
    def test_shards(self):
        merged = results.merge([run(*MIXED[:1]), run(*MIXED[1:]),
                                run(program("a", test("b")), name="7.3")])
        self.assertEqual(["stock-7.x", "7.3"], [k["name"] for k in merged["kernels"]])
        self.assertEqual((2, 3), (merged["totals"]["passed"], merged["totals"]["failed"]))

    def test_one_that_was_not_judged(self):
        merged = results.merge([run(*MIXED[:1]), run(judged="QEMU died")])
        self.assertEqual("QEMU died", merged["kernels"][0]["judged"])

    def test_file(self):
        with tempfile.TemporaryDirectory() as name:
            results.save(run(*MIXED), Path(name) / "results.json")
            self.assertEqual(run(*MIXED), results.load(name))


class Compare(unittest.TestCase):
    def test_only_what_changed(self):
        other = program("race_a", test("f.one"), test("f.two"), test("f.five", "fail", "x"))
        lines = results.compare(run(MIXED[0]), run(other, name="7.3"))
        self.assertEqual(["  absent -> fail    race_a: f.five: x",
                          "   xfail -> absent  race_a: f.four: bug",
                          "    skip -> absent  race_a: f.three: no device",
                          "    fail -> pass    race_a: f.two",
                          "  4 changed of 5"], lines[1:])

    def compare(self, old, new):
        return [line for line in results.compare(old, new) if "->" in line][1:]

    def test_what_is_the_guests_own(self):
        """It is there if it failed."""
        good = program("a", test("b"))
        for name in ("guest", "boot"):
            with self.subTest(name):
                self.assertEqual([f"  absent -> fail    {name}: end: hung"], self.compare(
                    run(good), run(good, program(name, test("end", "fail", "hung")))))

    def test_one_of_two_guests(self):
        good, bad = (program("unload", test("rmmod", r)) for r in ("pass", "fail"))
        tested = program("a", test("b"))
        self.assertEqual(["    pass -> fail    unload: rmmod"], self.compare(
            run(tested, good, good), run(tested, bad, good)))

    def test_nothing_in_common(self):
        unload = program("unload", test("rmmod"))
        with self.assertRaises(Error):
            results.compare(run(unload, program("a", test("b"))),
                            run(unload, program("c", test("d"))))

    def test_another_number_of_kernels(self):
        two = run(program("a", test("b")))
        two["kernels"] *= 2
        with self.assertRaises(Error):
            results.compare(run(program("a", test("b"))), two)


class Junit(unittest.TestCase):
    def test_old_output_is_no_success(self):
        with tempfile.TemporaryDirectory() as name:
            output, parser = Path(name) / "junit.xml", Path(name) / "parser"
            output.write_text("of the last run")
            parser.write_text("raise SystemExit(1)")
            with self.assertRaises(Error):
                results.junit(run(program("a", test("b"))), parser, output)


class Ktap(unittest.TestCase):
    def test_nested(self):
        lines = list(results.ktap(run(*MIXED[:1])))
        self.assertEqual(["KTAP version 1", "1..1", "    KTAP version 1",
                          "    # Subtest: xmirror on stock-7.x", "    1..1",
                          "        KTAP version 1", "        # Subtest: race_a",
                          "        1..4", "        ok 1 f.one"], lines[:9])
        self.assertIn("        not ok 2 f.two", lines)
        self.assertIn("        ok 3 f.three # SKIP no device", lines)
        self.assertEqual(["    not ok 1 race_a", "not ok 1 xmirror on stock-7.x"],
                         lines[-2:])


LISTING = """# FIXTURE            VARIANT                   TEST
global                                         alone
--------------------------------------------------------------------------------
race                                           first
                                               second
--------------------------------------------------------------------------------
locked               made                      munmap
                     committed                 mprotect
"""


class Choose(unittest.TestCase):
    def choose(self, words, release="7.3.4", flavour="debug", drop=False):
        target = mock.Mock(release=release, bin=Path("/"), flavour=flavour)
        done = mock.Mock(stdout="", stderr=LISTING)
        with mock.patch("xm.build.test_programs", lambda: ["race_a", "race_b",
                                                                "race_holds"]), \
                mock.patch("xm.build.programs") as self.built, \
                mock.patch("xm.check.subprocess.run", lambda *a, **k: done):
            return check.choose(target, words, drop)

    def test_all(self):
        self.assertEqual(["hmm-tests", "hmm-tests-7.3", "race_a", "race_b", "race_holds"],
                         self.choose("*"))
        self.assertEqual(["hmm-tests-bench-coherent", "hmm-tests-bench-private"],
                         self.choose("hmm-tests-bench*"))

    def test_programs(self):
        self.assertEqual(["race_a", "race_b"], self.choose("race_b race_?"))

    def test_only_what_is_chosen_is_built(self):
        for words, names in (("*", None), ("race_a * hmm-tests", None),
                             ("race_?:race.* hmm-tests", ["hmm-tests", "race_a", "race_b"])):
            self.choose(words)
            self.assertEqual(names, self.built.call_args_list[0].args[1], words)

    def test_tests(self):
        self.assertEqual(["race_b -r race.first"], self.choose("race_b:race.first"))
        self.assertEqual(
            ["race_a -r locked.made.munmap -r locked.made.mprotect "
             "-r locked.committed.munmap -r locked.committed.mprotect"],
            self.choose("race_a:locked.*"))
        self.assertEqual(["race_a -r global.alone", "race_b"],
                         self.choose("race_b:race.first race_b race_a:global.*"))

    def test_cell_that_only_the_guest_knows(self):
        self.assertEqual(["race_holds -r exclusive.unmap@f#2"],
                         self.choose("race_holds:exclusive.unmap@f#2"))

    def test_program_without_a_list(self):
        """It says how to use it, and maybe that an option is wrong."""
        for said in ("usage: fuzz [option]...\n\n  --calls N    how many calls, of all\n",
                     "1..0 # SKIP no device: No such file or directory\n"):
            with mock.patch("xm.check.subprocess.run",
                            lambda *a, **k: mock.Mock(stdout=said, stderr="")):
                self.assertEqual([], check.tests_of(Path("/"), "fuzz"))

    def test_unknown_is_dropped(self):
        """What failed last may have another name by now."""
        self.assertEqual(["race_a", "race_b -r race.first"], self.choose(
            "gone race_a:gone race_a race_b:race.first", drop=True))

    def test_unknown(self):
        for words in ("nothing", "race_a:nothing", "hmm-tests:some"):
            with self.subTest(words), self.assertRaises(Usage):
                self.choose(words)

    def test_shards(self):
        lines = list("abcdefg")
        parts = [check.shard(lines, f"{i}/3") for i in (1, 2, 3)]
        self.assertEqual(lines, sorted(sum(parts, [])))
        for wrong in ("0/3", "4/3", "x"):
            with self.subTest(wrong), self.assertRaises(Usage):
                check.shard(lines, wrong)


class Finish(unittest.TestCase):
    """What no guest alone shows."""

    def finish(self, lines, *programs, judged=True, row=None):
        kernel = {"programs": list(programs), "judged": judged}
        check.finish_check(kernel, mock.Mock(row=row), lines, False)
        return [(p["name"], t["reason"]) for p in kernel["programs"] for t in p["tests"]
                if t["result"] == "fail"]

    def test_dkms_has_a_list_of_its_own(self):
        toy = test("global.toy_driver_reads_and_adds", "skip", "no xmirror_toy.ko")
        self.assertEqual([], self.finish(["api_sample"], program("api_sample", toy, test("t")),
                                         row=kernels.kernel("dkms-7.x")))
        self.assertEqual(1, len(self.finish(["api_sample"], program(
            "api_sample", toy, test("t")), row=kernels.kernel("stock-7.x"))))

    def test_hmm_tests_of_other_kernels_are_left_out(self):
        """Programs of all kernels of an architecture are in one directory."""
        target = mock.Mock(names=None, hmm_tests=("7.3",))
        wanted = [name for name in ("hmm-tests", "hmm-tests.bin-6.12", "hmm-tests.bin-7.3")
                  if build.Target.wants(target, name)]
        self.assertEqual(["hmm-tests", "hmm-tests.bin-7.3"], wanted)
        target.names = ["hmm-tests"]
        self.assertEqual([True, False, True, False], [
            build.Target.wants(target, name) for name in
            ("hmm-tests", "hmm-tests-7.3", "hmm-tests.bin-7.3", "race_a")])

    def test_all_ran(self):
        self.assertEqual([], self.finish(["a -r x", "a -r y", "XM_LOADS=5 b --c=1"],
                                         *(program(n, test("t")) for n in "aab")))

    def test_one_that_a_guest_lost(self):
        """It was handed out, and no guest has ever named it."""
        self.assertEqual([("b", "it was not run")],
                         self.finish(["a", "b"], program("a", test("t"))))
        self.assertEqual([("a", "it was not run")],
                         self.finish(["a -r x", "a -r y"], program("a", test("t"))))

    def test_one_that_did_not_end(self):
        dead = program("a", test("end", "fail", "it did not end", judge=True), status=None)
        self.assertEqual([("a", "it did not end")], self.finish(["a"], dead))
        self.assertEqual(2, len(self.finish(["a", "a"], dead)))

    def test_guest_that_was_not_judged(self):
        self.assertEqual([], self.finish(["a", "b"], program("a", test("t")), judged="no"))


class Symbols(unittest.TestCase):
    TEXT = "BUG: x\n f+0x1/0x2 [xmirror]\n g+0x1/0x2\n f+0x1/0x2 [xmirror]\n"

    def symbolise(self, said):
        """And how often a tool of the kernel was asked."""
        with mock.patch("xm.build.source", Path), \
                mock.patch("xm.check.subprocess.run",
                           return_value=mock.Mock(stdout=said)) as asked:
            return check.symbolise(self.TEXT, mock.Mock(
                vmlinux=None, symbols="/nonexistent")), asked.call_count

    def test_line_of_a_module(self):
        self.assertEqual((self.TEXT.replace("[xmirror]", "[xmirror] (src/a.c:5)"), 1),
                         self.symbolise("f+0x1/0x2:\nf at src/a.c:5\n"))

    def test_none(self):
        text, _ = self.symbolise("")
        self.assertTrue(text.startswith(self.TEXT + "(no source lines"))


class Table(unittest.TestCase):
    def test_rows(self):
        self.assertEqual("trixie-backports", kernels.kernel("stock").suite)
        self.assertTrue(kernels.kernel("dkms-6.1").dkms)
        self.assertRegex("7.4.1+deb13-amd64", kernels.kernel("stock-7.4").release)
        self.assertEqual("plain", kernels.kernel("7.3-plain").flavour)
        for row in (row for row in kernels.KERNELS.values() if row.base):
            base = kernels.KERNELS[row.base]
            self.assertEqual(base, row._replace(name=base.name, base="", append="",
                                                    memory=0))
        for name in ("7.9", "nothing"):
            with self.subTest(name), self.assertRaises(Usage):
                kernels.kernel(name)

    def test_releases_of_another_flavour(self):
        for name in ("stock-7.x", "stock-6.12", "stock-7.4", "stock-arm64", "stock-rt"):
            row = kernels.kernel(name)
            for flavour in ("-cloud", "-rt", "-cloud-rt"):
                release = (f"{row.version.replace('.x', '.3')}.4+deb13{flavour}-" +
                           row.machine.debian)
                self.assertEqual(name == "stock-rt" and flavour == "-rt", bool(
                    re.fullmatch(row.release, release)), (name, release))

    def test_fragments_exist(self):
        for row in kernels.KERNELS.values():
            for fragment in row.configs:
                self.assertTrue((results.TOP / f"runner/guest/config/{fragment}.config")
                                .exists(), fragment)


class Main(unittest.TestCase):
    """What the user or the host has got wrong is a line and a status."""

    def status(self, *words, **commands):
        with mock.patch.dict(cli.COMMANDS, commands), mock.patch("xm.cli.end_by_signals"), \
                mock.patch("xm.cli.say") as said:
            return cli.main(list(words)), str(said.call_args[0][0])

    def test_no_such_directory(self):
        self.assertEqual((2, "no such directory: /nope"),
                         self.status("check", "-k", "/nope"))

    def test_host(self):
        def full(_args, _words):
            raise OSError(28, "No space left on device")
        self.assertEqual((3, "[Errno 28] No space left on device"),
                         self.status("summary", summary=(full, "")))

    def test_limit(self):
        done = subprocess.run([results.TOP / "runner/xmtest", "summary"], capture_output=True,
                              env=os.environ | {"XM_LIMIT": "x"}, text=True, check=False)
        self.assertEqual((2, "xmirror: XM_LIMIT=x is no number of seconds\n"),
                         (done.returncode, done.stderr))


class Verdict(unittest.TestCase):
    def test_ktap_alone_is_on_standard_output(self):
        def checked(_args, _words):
            print("summary")
            return mock.Mock(results=run(program("a", test("b")))), 0
        with mock.patch("xm.cli.checked", checked), \
                contextlib.redirect_stderr(io.StringIO()) as err, \
                contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(0, cli.cmd_verdict(mock.Mock(), []))
        self.assertEqual("summary\n", err.getvalue())
        self.assertTrue(out.getvalue().startswith("KTAP version 1\n"))

    def test_its_programs_exist(self):
        self.assertLessEqual(set(cli.VERDICT.split()), set(build.test_programs()))


class Answers(unittest.TestCase):
    def test_bisect(self):
        """Good, bad, and what is not to be told."""
        self.assertEqual([0, 1, 125, 125, 125],
                         [bisect.answer(s) for s in (0, 1, 2, 3, 130)])

    def test_kernel_that_does_not_build(self):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "Makefile").write_text("olddefconfig:\nbzImage:\n\tfalse\n")
            self.assertEqual(125, bisect.step(Path(name), "race_a", []))


class Bisection(unittest.TestCase):
    """16 commits, of which one brings a mistake and one before it does not build."""

    def test_finds_it(self):
        with tempfile.TemporaryDirectory() as name:
            def git(*args):
                return subprocess.run(
                    ["git", "-C", name, "-c", "user.name=x", "-c", "user.email=x@x", *args],
                    check=True, capture_output=True, text=True).stdout.strip()
            git("init", "-q")
            commits = []
            for number in range(16):
                state = "bad" if number >= 11 else "unbuildable" if number == 9 else "good"
                (Path(name) / "file").write_text(f"{number} {state}")
                git("add", "file")
                git("commit", "-qm", f"commit {number}")
                commits.append(git("rev-parse", "HEAD"))
            script = "grep -q unb file && exit 125; ! grep -q bad file"
            with open(os.devnull, "w", encoding="ascii") as null, \
                    mock.patch("xm.bisect.git", lambda tree, *a, **k: subprocess.run(
                        ["git", "-C", tree, *a], check=False,
                        **({"stdout": null, "stderr": null} | k if "capture_output" not in k
                           else k))):
                found = bisect.drive(name, commits[0], commits[-1], ["sh", "-c", script])
            self.assertEqual(commits[11], found)


class Watch(unittest.TestCase):
    """What silence means: the guest hangs, or the host gives it no CPU."""

    def watch(self, cpu, wall, accel="tcg", exact=True):
        with mock.patch("xm.guest.acceleration", lambda *a: accel):
            g = guest.Guest(mock.Mock(), guest.Boot("check", exact=exact, silence=100),
                            Path("/"))
        g.process = mock.Mock(pid=1, poll=lambda: None)
        clock = iter([wall])
        with mock.patch.object(g, "cpu_seconds", lambda: cpu), \
                mock.patch.object(g, "waited_seconds", lambda: wall - cpu if exact else 0), \
                mock.patch("xm.guest.time.sleep"), \
                mock.patch("xm.guest.time.monotonic", lambda: next(clock)):
            g.watch(0.0)
        return g

    def test_hang(self):
        self.assertIsNotNone(self.watch(cpu=210, wall=250).hang)

    def test_idle(self):
        """Of a guest with a thread for each CPU nothing is left to run."""
        self.assertIsNotNone(self.watch(cpu=5, wall=250, exact=False).hang)

    def test_starved(self):
        g = self.watch(cpu=5, wall=1100)
        self.assertIsNone(g.hang)
        self.assertIn("no progress", g.unjudged)
