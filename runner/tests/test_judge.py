# SPDX-License-Identifier: GPL-2.0
"""Feeds the judge logs of runs that went wrong in every way it must notice, and of
some that did not."""
import unittest

from xm import judge
from xm.results import count

RESULT = """# test: one
TAP version 13
1..2
ok 1 first
ok 2 second # SKIP not here
# exit: one 0
# xmirror: done"""
BEGIN = """[    0.000000] Linux version 7.3.4
[    1.000000] xmirror-test: begin one
"""
END = """[    2.000000] xmirror-test: end one 0
"""
GOOD = {"mode": "check", "qemu": "0", "deadline": "100"}
HUNG = GOOD | {"qemu": "137", "hang": "no line for 100 s"}

COMPLAINTS = """
BUG: KASAN: slab-use-after-free in xm_fault+0x12/0x34 [xmirror]
BUG: unable to handle page fault for address: ffff888100000000
BUG: Bad rss-counter state mm:000000001234 type:MM_ANONPAGES val:3
BUG: Bad page state in process t1  pfn:12345
BUG: Bad page map in process t1  pte:800000 pmd:123
BUG: sleeping function called from invalid context at mm/x.c:12
BUG: scheduling while atomic: t1/123/0x00000002
BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!
WARNING: CPU: 0 PID: 12 at mm/rmap.c:100 folio_x+0x1/0x2
WARNING: mm/rmap.c:100 at folio_x+0x1/0x2, CPU#0: t1/12
WARNING: possible circular locking dependency detected
WARNING: possible recursive locking detected
WARNING: inconsistent lock state
WARNING: suspicious RCU usage
WARNING: bad unlock balance detected!
INFO: possible irq lock inversion dependency detected
INFO: trying to register non-static key.
INFO: task t1:123 blocked for more than 120 seconds.
INFO: rcu_preempt detected stalls on CPUs/tasks: { 0 }
rcu: INFO: rcu_preempt self-detected stall on CPU
watchdog: BUG: soft lockup - CPU#0 stuck for 61s! [t1:12]
kernel BUG at mm/memory.c:100!
Oops: general protection fault, probably for non-canonical address 0xdead: 0000
general protection fault, probably for non-canonical address 0xdead: 0000
Kernel panic - not syncing: Fatal exception
page dumped because: VM_WARN_ON_FOLIO(1)
list_add corruption. prev->next should be next (1), but was 2.
refcount_t: underflow; use-after-free.
kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
unreferenced object 0xffff888100000000 (size 64):
UBSAN: array-index-out-of-bounds in src/fault.c:12:3
ODEBUG: free active (active state 0) object: 1 object type: timer_list
EXT4-fs error (device vdb): ext4_lookup:1: inode #2: comm t1
get_swap_device: Bad swap file entry 380000000003fc23
Call Trace:
Call trace:
Internal error: Oops: 0000000096000004 [#1]  SMP
Unable to handle kernel paging request at virtual address dead000000000100
mm/pgtable-generic.c:53: bad pmd 00000000deadbeef(8000000012345067)
mm/pgtable-generic.c:39: bad p4d 00000000deadbeef.
swap_info_get: Unused swap offset entry 00001234
_swap_info_get: Unused swap file entry 380000000003fc23
------------[ cut here ]------------
SError Interrupt on CPU0, code 0x00000000be000011 -- SError
Insufficient stack space to handle exception!
turning off the locking correctness validator.
kmemleak: Kernel memory leak detector disabled
""".strip().splitlines()


class Case(unittest.TestCase):
    def setUp(self):
        self.result, self.console, self.end = RESULT, BEGIN + END, GOOD

    def judge(self):
        self.programs, self.judged = judge.judge_logs(
            self.result.splitlines(), [], self.console.splitlines(), self.end)
        return self.programs

    def expect(self, passed, failed, skipped, xfail=0, xpass=0):
        totals = count(self.judge())
        self.assertEqual((passed, failed, skipped, xfail, xpass),
                         tuple(totals[k] for k in
                               ("passed", "failed", "skipped", "xfail", "xpass")),
                         [t for p in self.programs for t in p["tests"]])
        self.assertIs(self.judged, True)

    def reasons(self):
        return [t["reason"] for p in self.judge() for t in p["tests"]
                if t["result"] == "fail"]

    def during(self, text):
        """The kernel log with TEXT in it while program one runs."""
        self.console = BEGIN + text + END


class KernelLog(Case):
    def test_good_run(self):
        self.expect(1, 0, 1)

    def test_complaints(self):
        for line in COMPLAINTS:
            with self.subTest(line):
                self.console = BEGIN + END + f"[    2.500000] {line}\n"
                self.expect(1, 1, 1)
                self.during(f"[    1.500000] {line}\n")
                self.expect(1, 1, 1)

    def test_two_reports(self):
        """One report is counted once, a later one again, also with callers shown."""
        self.console += """[    2.500000][   T12] BUG: KASAN: slab-use-after-free in x
[    2.500100][   T12] Call Trace:
[    2.600000][   T12] Oops: 0000 [#1]
[    9.000000][   T12] WARNING: CPU: 0 PID: 12 at x
"""
        self.expect(1, 2, 1)
        self.assertIn("Oops", self.programs[0]["reports"][0]["text"])

    def test_harmless_dumps(self):
        self.console += """[    2.500000] FAULT_FLAG_ALLOW_RETRY missing 61
[    2.500001] CPU: 0 PID: 12 Comm: t1
[    2.500002] Call Trace:
[    4.000000] FAULT_INJECTION: forcing a failure.
[    4.000001] Call Trace:
[    5.000000] page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x3d800
[    5.000001] page dumped because: unmovable page
[    6.000000] traps: one[12] general protection fault ip:401000 sp:7ffe error:0 in one
"""
        self.expect(1, 0, 1)

    def test_report_next_to_a_harmless_dump(self):
        self.console += """[    2.500000] FAULT_FLAG_ALLOW_RETRY missing 61
[    2.500002] Call Trace:
[    2.500003] WARNING: CPU: 0 PID: 12 at x
"""
        self.expect(1, 1, 1)

    def test_cut_here_is_no_report_beside_its_own(self):
        self.during("""[    1.500000] ------------[ cut here ]------------
[    1.500001] the message of the WARN
[    1.500002] WARNING: CPU: 0 PID: 12 at x
[    1.500003] ------------[ cut here ]------------
[    1.500004] kernel BUG at mm/memory.c:100!
""")
        self.expect(1, 1, 1)
        self.assertIn("WARNING", self.programs[0]["reports"][0]["line"])

    def test_cut_here_with_another_report_later(self):
        self.during("""[    1.500000] ------------[ cut here ]------------
[    4.000000] WARNING: CPU: 0 PID: 12 at x
""")
        self.expect(1, 2, 1)

    def test_gap(self):
        self.during("** 312 printk messages dropped **\n")
        self.expect(1, 1, 1)
        self.assertIn("gap", self.reasons()[0])

    def test_empty(self):
        self.console = ""
        self.expect(1, 1, 1)

    def test_without_our_marks(self):
        self.console = "[    0.000000] Linux version 7.3.4\n"
        self.expect(1, 1, 1)

    def test_report_while_booting(self):
        self.console = "[    0.500000] WARNING: CPU: 0 PID: 1 at x\n" + BEGIN + END
        self.expect(1, 1, 1)
        self.assertEqual("boot", self.programs[-1]["name"])


class Announced(Case):
    """An announced report, and others beside it."""
    PATTERN = r"WARNING: .* at __page_table_check_ptes_set\+.*"

    def announce(self, more="", count="1", pattern=PATTERN, expected=True,
                 report="WARNING: CPU: 0 PID: 12 at __page_table_check_ptes_set+0x1",
                 trace="[    1.900000] ---[ end trace 0000000000000000 ]---\n"):
        self.during(
            f"[    1.100000] xmirror-test: expect {count} {pattern}\n"
            + (f"[    1.200000] {report}\n[    1.210000] Call Trace:\n{trace}"
               if report else "") + more
            + ("[    1.950000] xmirror-test: expected\n" if expected else ""))

    def test_it_comes(self):
        self.announce()
        self.expect(1, 0, 1)        # and is no passed test
        self.assertTrue(self.programs[0]["reports"][0]["expected"])

    def test_it_is_cut_out(self):
        cut = "[    1.199000] ------------[ cut here ]------------\n"
        self.announce()
        self.console = self.console.replace("[    1.200000]", cut + "[    1.200000]")
        self.expect(1, 0, 1)

    def test_it_does_not_come(self):
        self.announce(report="")
        self.expect(1, 1, 1)
        self.announce(report="", expected=False)
        self.expect(1, 1, 1)

    def test_it_may_come(self):
        self.announce(count="0-1")
        self.expect(1, 0, 1)
        self.announce(count="0-1", report="")
        self.expect(1, 0, 1)

    def test_it_comes_too_often(self):
        again = "[    1.940000] WARNING: CPU: 0 PID: 12 at __page_table_check_ptes_set+0x1\n"
        self.announce(again)
        self.expect(1, 1, 1)
        self.announce(again, count="2")
        self.expect(1, 0, 1)

    def test_another_one_comes(self):
        self.announce(pattern=r"WARNING: .* at something_else\+.*")
        self.expect(1, 2, 1)        # the one came, the other did not

    def test_pattern_is_for_the_whole_line(self):
        self.announce(pattern="__page_table_check_ptes_set")
        self.expect(1, 2, 1)

    def test_report_after_its_end(self):
        self.announce("[    1.910000] WARNING: CPU: 0 PID: 12 at x\n")
        self.expect(1, 1, 1)

    def test_report_within_it(self):
        """Without an end of the trace, and at once."""
        self.announce("[    1.220000] BUG: Bad page state in process t1  pfn:1\n", trace="")
        self.expect(1, 1, 1)
        self.announce("[    1.220000] list_add corruption. prev->next\n", trace="")
        self.expect(1, 1, 1)
        self.announce("[    1.220000] Call Trace:\n", trace="")
        self.expect(1, 1, 1)

    def test_window_that_swallowed_all(self):
        """The log of the review: four reports behind a dumped page."""
        self.announce(
            "[    1.300000] BUG: Bad page state in process t1  pfn:12345\n"
            "[    3.000000] page dumped because: VM_WARN_ON_FOLIO(b)\n"
            "[    4.500000] BUG: sleeping function called from invalid context\n"
            "[    6.000000] list_add corruption. prev->next should be next\n",
            pattern=r"page dumped because: VM_WARN_ON_FOLIO\(a\)",
            report="page dumped because: VM_WARN_ON_FOLIO(a)", trace="")
        self.expect(1, 4, 1)

    def test_warning_of_the_dumped_page(self):
        warning = "[    1.300000] WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: t1/12\n"
        options = {"pattern": r"page dumped because: VM_WARN_ON_FOLIO\(a\)", "trace": "",
                   "report": "page dumped because: VM_WARN_ON_FOLIO(a)"}
        self.announce(warning, **options)
        self.expect(1, 0, 1)
        self.announce(warning + warning, **options)
        self.expect(1, 1, 1)

    def test_kasan_after_it(self):
        self.announce("[    1.940000] BUG: KASAN: use-after-free in x\n")
        self.expect(1, 1, 1)

    def test_kasan_is_never_announced(self):
        self.announce(pattern=".*", report="BUG: KASAN: use-after-free in x")
        self.expect(1, 2, 1)

    def test_nothing_is_announced_after_the_window(self):
        self.announce(count="0-1", report="")
        self.console = self.console.replace(
            END, "[    1.960000] WARNING: CPU: 0 PID: 12 at "
            "__page_table_check_ptes_set+0x1\n" + END)
        self.expect(1, 1, 1)

    def test_nor_in_the_next_program(self):
        self.announce(count="0-1", report="", expected=False)
        self.console += """[    4.000000] xmirror-test: begin two
[    5.000000] WARNING: CPU: 0 PID: 12 at __page_table_check_ptes_set+0x1
"""
        self.expect(1, 1, 1)

    def test_classes_of_posix(self):
        self.announce(pattern="WARNING: CPU: [[:digit:]] PID: [[:digit:]]+ at "
                      r"[[:alnum:]_]+\+0x[[:xdigit:]]+")
        self.expect(1, 0, 1)

    def test_malformed(self):
        for words in ("", "WARNING: .*", "1 (", "x WARNING: .*"):
            with self.subTest(words):
                self.during(f"[    1.100000] xmirror-test: expect {words}\n")
                self.expect(1, 1, 1)


class Results(Case):
    def test_failed(self):
        self.result = RESULT.replace("ok 1", "not ok 1").replace("one 0", "one 1")
        self.expect(0, 1, 1)

    def test_status_without_a_failed_test(self):
        self.result = RESULT.replace("exit: one 0", "exit: one 1")
        self.expect(1, 1, 1)

    def test_killed_after_the_last_test(self):
        self.result = RESULT.replace("exit: one 0", "exit: one 137")
        self.expect(1, 1, 1)

    def test_expected_failure_excuses_a_status_of_one(self):
        for status, failed in ((0, 0), (1, 0), (2, 1), (139, 1), (137, 1)):
            with self.subTest(status):
                self.result = RESULT.replace("ok 1 first", "ok 1 first # XFAIL bug").replace(
                    "one 0", f"one {status}")
                self.expect(0, failed, 1, xfail=1)

    def test_killed_after_a_failed_test(self):
        self.result = RESULT.replace("ok 1", "not ok 1").replace("one 0", "one 139")
        self.expect(0, 2, 1)

    def test_plan_of_nothing(self):
        self.result = ("# test: one\nno such cell: evict.unmpa\n1..0\n# exit: one 0\n"
                       "# xmirror: done")
        self.expect(0, 1, 0)
        self.assertEqual(["no test was run"], self.reasons())
        self.assertEqual(["no such cell: evict.unmpa"],
                         self.programs[0]["tests"][0]["output"])

    def test_plan(self):
        for plan, said in (("1..3", "planned 3 tests, saw 2"),
                           ("1..1", "planned 1 tests, saw 2"), ("", "no plan")):
            with self.subTest(plan):
                self.result = RESULT.replace("1..2", plan)
                self.expect(1, 1, 1)
                self.assertIn(said, self.reasons()[0])

    def test_numbers(self):
        self.result = RESULT.replace("ok 2", "ok 3")
        self.expect(1, 1, 1)

    def test_a_result_that_came_twice(self):
        self.result = RESULT.replace("ok 2 second", "ok 2 first")
        self.expect(1, 1, 1)

    def test_program_says_nothing(self):
        self.result = "# test: one\n# exit: one 0\n# xmirror: done"
        self.expect(0, 1, 0)

    def test_program_dies(self):
        self.result = "# test: one\n1..2\nok 1 first\n# exit: one 139\n# xmirror: done"
        self.expect(1, 1, 0)

    def test_program_skips_all(self):
        self.result = ("# test: one\nTAP version 13\n1..0 # SKIP no device\n"
                       "# exit: one 4\n# xmirror: done")
        self.expect(0, 0, 1)
        self.assertEqual("no device", self.programs[0]["tests"][0]["reason"])
        self.assertTrue(judge.nothing_tested(self.programs))

    def test_every_test_skips(self):
        self.result = RESULT.replace("ok 1 first", "ok 1 first # SKIP no device")
        self.assertTrue(judge.nothing_tested(self.judge()))
        self.result = RESULT
        self.assertFalse(judge.nothing_tested(self.judge()))

    def test_nothing_but_unloading(self):
        self.result = ("# test: unload\nok 1 rmmod xmirror\n1..1\n# exit: unload 0\n"
                       "# xmirror: done")
        self.console = "[    3.000000] xmirror-test: begin unload\n"
        self.assertTrue(judge.nothing_tested(self.judge()))

    def test_unloading_is_no_test(self):
        self.result = RESULT.replace("ok 1 first", "ok 1 first # SKIP no device").replace(
            "# xmirror: done", "# test: unload\n1..1\nok 1 rmmod xmirror\n# exit: unload 0\n"
            "# xmirror: done")
        self.console += "[    3.000000] xmirror-test: begin unload\n"
        self.assertTrue(judge.nothing_tested(self.judge()))

    def test_expected_failure(self):
        self.result = RESULT.replace("ok 1 first", "ok 1 first # XFAIL known bug")
        self.expect(0, 0, 1, xfail=1)
        self.assertEqual("known bug", self.programs[0]["tests"][0]["reason"])
        self.result = RESULT.replace("ok 1 first", "not ok 1 first # TODO known bug")
        self.expect(0, 0, 1, xfail=1)

    def test_expected_failure_that_passes(self):
        self.result = RESULT.replace("ok 1 first", "ok 1 first # XPASS mended")
        self.expect(0, 0, 1, xpass=1)

    def test_skip_that_failed(self):
        self.result = RESULT.replace("ok 2", "not ok 2").replace("one 0", "one 1")
        self.expect(1, 1, 0)

    def test_names_of_kselftest(self):
        self.result = RESULT.replace("ok 2 second # SKIP not here",
                                     "ok 2 # SKIP a.b.c: not here")
        self.expect(1, 0, 1)
        test = self.programs[0]["tests"][1]
        self.assertEqual(("a.b.c", "not here"), (test["name"], test["reason"]))

    def test_reason_of_a_failure(self):
        self.result = RESULT.replace(
            "ok 1", "#  RUN           first ...\n# x.c:1:first:Expected 1 (1) == 2 (2)\n"
            "#          FAIL  first\nnot ok 1").replace("one 0", "one 1")
        self.assertEqual(["x.c:1:first:Expected 1 (1) == 2 (2)"], self.reasons())

    def test_left_processes(self):
        self.result = RESULT.replace("# exit", "# left processes behind: one\n# exit")
        self.expect(1, 1, 1)

    def test_modules_do_not_load(self):
        self.result = "# cannot load the modules\n# xmirror: done"
        self.expect(0, 1, 0)

    def test_modules_do_not_unload(self):
        self.result = RESULT.replace("# xmirror: done", """# test: unload
not ok 1 rmmod xmirror_test
1..1
# exit: unload 1
# xmirror: done""")
        self.console += "[    3.000000] xmirror-test: begin unload\n"
        self.expect(1, 1, 1)

    def test_leak(self):
        self.result = RESULT.replace("# xmirror: done", """# test: unload
ok 1 rmmod xmirror_test
# unreferenced object 0xffff888100000000 (size 64):
not ok 2 no memory leaked
1..2
# exit: unload 1
# xmirror: done""")
        self.console += "[    3.000000] xmirror-test: begin unload\n"
        self.expect(2, 1, 1)


class Ends(Case):
    def test_crash_after_the_tests(self):
        self.result = RESULT.replace("\n# xmirror: done", "")
        self.expect(1, 1, 1)

    def test_crash_within_a_test(self):
        self.result = RESULT[:RESULT.index("# exit")]
        self.expect(1, 2, 1)

    def test_hang(self):
        self.end = HUNG
        self.expect(1, 1, 1)

    def test_no_output(self):
        self.result = self.console = ""
        self.expect(0, 1, 0)
        self.assertEqual(["the kernel did not boot"], self.reasons())

    def test_nothing_run(self):
        self.result = "# xmirror: done"
        self.expect(0, 1, 0)


class Unjudged(Case):
    """The fault of the host, QEMU or the runner: never a failure, never a success."""

    def unjudged(self):
        totals = count(self.judge())
        self.assertEqual(0, totals["failed"])
        self.assertIsInstance(self.judged, str)

    def test_no_record(self):
        self.end = {}
        self.unjudged()

    def test_qemu_died(self):
        self.end = GOOD | {"qemu": "-11"}
        self.unjudged()
        self.end = GOOD | {"qemu": "1"}
        self.unjudged()

    def test_program_that_it_took_along(self):
        """It did not end, which is no failure of its own; what it has shown counts."""
        self.result = RESULT[:RESULT.index("# exit")]
        self.end = GOOD | {"qemu": "-9"}
        self.unjudged()
        self.assertIn("in one", self.judged)
        self.result = self.result.replace("ok 1", "not ok 1")
        self.assertEqual(1, count(self.judge())["failed"])

    def test_host_was_busy(self):
        self.end = HUNG | {"unjudged": "no progress: QEMU got 3 s of CPU in 900 s"}
        self.unjudged()

    def test_breakpoint_that_was_patched_away(self):
        self.result = ""
        self.console = "[    0.500000] Oops: int3: 0000 [#1] SMP\n"
        _, judged = judge.judge_logs([], [], self.console.splitlines(), GOOD)
        self.assertIn("int3", judged)
        _, judged = judge.judge_logs([], [], self.console.splitlines(),
                                     GOOD | {"accel": "kvm"})
        self.assertIs(judged, True)


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.console = "[    1.000000] xmirror-test: begin run\n"
        self.end = GOOD | {"mode": "run"}

    def test_good(self):
        self.result = "# test: run\nok\n1..7\n# exit: run 0\n# xmirror: done"
        self.expect(1, 0, 0)

    def test_fails(self):
        self.result = "# test: run\n# exit: run 3\n# xmirror: done"
        self.expect(0, 1, 0)

    def test_crashes_the_guest(self):
        self.result = "# test: run\nhello"
        self.expect(0, 2, 0)
