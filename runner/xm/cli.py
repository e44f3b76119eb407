# SPDX-License-Identifier: GPL-2.0
"""The command line. The Makefile calls it; "xmtest COMMAND --help" explains."""
import argparse
import contextlib
import fnmatch
import os
import re
import shlex
import sys
import threading
from pathlib import Path

from . import (bench, bisect, build, check, coverage, kernels, mutants, peer, planted,
               results, skips)
from .guest import Boot, Guest
from .util import (CACHE, FAILED, OK, UNJUDGED, USAGE, Error, Usage, end_by_signals,
                   say, script)

HOUR = 3600
# A long run has to print something every ten minutes.
LONG = Boot("check", limit=24 * HOUR, silence=600, deadline=24 * HOUR)
# What "make verdict" runs: some of each subject, the quick ones.
VERDICT = ("api_info api_calls exclusive_atomics exclusive_lifetime exclusive_end "
           "exclusive_fork exclusive_write_protect devmem_migrate devmem_large_folio "
           "mirror_fault mirror_invalidate_exact mirror_dirty race_exclusive race_fault "
           "race_invalidate vram_map intree_test_hmm_bugs")


def target_of(name, programs=(), **options):
    """A kernel, its modules, and the programs of these names; None is all."""
    build.need()
    target = build.Target(name, **options)
    if programs != ():
        build.programs(target, programs)
    return target


def fetch_ahead():
    """Get what programs are built with while the kernel is fetched or built."""
    def fetch():
        # It is tried again by who needs it.
        with contextlib.suppress(Error):
            build.source(kernels.NEWEST)
    threading.Thread(target=fetch, daemon=True).start()


def cmd_check(args, words):
    if not args.ktap:
        return checked(args, words)[1]
    # Standard output is for KTAP alone.
    with contextlib.redirect_stdout(sys.stderr):
        run, status = checked(args, words)
    print("\n".join(results.ktap(run.results)), flush=True)
    return status


def cmd_verdict(args, words):
    """A chosen set, as nested KTAP; the summary goes to standard error."""
    args.tests, args.ktap = VERDICT, True
    return cmd_check(args, words)


def checked(args, words):
    """The run, and its exit status."""
    check.validate(args.tests)
    for name in args.kernels:
        if "/" not in name:
            kernels.kernel(name)
    build.need()
    fetch_ahead()
    tests = {name: args.tests for name in args.kernels}
    if args.failed:
        tests = results.again(results.load())
    run = check.Run(words, args.command)
    if not tests:
        say("nothing failed in the last run")
        return run, OK
    for name, what in tests.items():
        say(f"checking on {name}")
        try:
            target = target_of(name)
            lines = check.shard(check.choose(target, what, args.failed), args.shard)
            if lines:
                check.check(run, target, lines,
                            whole=check.is_all(what) and not args.shard)
        except Usage:
            raise
        except Error as error:
            say(error)
            run.add(results.no_kernel(name, str(error)))
    return run, run.finish(output=args.output)


def cmd_list(args, _words):
    """Programs; with TESTS also their tests, as TESTS takes them."""
    if args.tests == "*":
        print("\n".join(check.programs()))
        return OK
    check.validate(args.tests)
    for word in args.tests.split():
        program, _, test = word.partition(":")
        found = fnmatch.filter(check.programs(), program)
        # Those run as a whole, or a guest finds their tests.
        whole = [n for n in found if n.startswith("hmm-tests") or n == check.UNLISTED]
        names = [n for n in found if n not in whole]
        directory = build.programs(build.Programs(), names)
        tests = whole
        for name in names:
            known = check.tests_of(directory, name)
            tests += [f"{name}:{t}" for t in fnmatch.filter(known, test or "*")]
            tests += [name] * (not known and not test)
        if not tests:
            raise Usage(f"no test of {program} matches '{test}'; "
                        f"see make list TESTS='{program}'")
        print("\n".join(tests))
    return OK


def program_in_guest(args, words, boot, shell, programs=None, **options):
    """demo, bench, soak: one command in one guest, whose output is the result."""
    run = check.Run(words, args.command, last=False)
    target = target_of(args.kernels[0], programs, **options)
    kernel, _ = check.command(run, target, shell, boot)
    run.results["kernels"] = [kernel]
    run.save()
    status = results.status(run.results)
    return run.finish() if status else status


def cmd_demo(args, words):
    return program_in_guest(args, words, Boot("run", exact=False),
                            shlex.join(["demo", *args.args]), programs=["demo"])


def cmd_bench(args, words):
    if args.base:
        return bench.main(args, words)
    # It compares with the kernel's own test device, which gets the nodes. Where the
    # kernel has none, the benchmark says so.
    peer = "/lib/modules/test_hmm.ko"
    return program_in_guest(
        args, words, Boot("run", exact=False, params=("dmirror=0",)),
        f"{{ [ ! -e {peer} ] || insmod {peer}; }} && {shlex.join(['bench', *args.args])}",
        flavour="plain", programs=["bench"])


SOAK = r"""
# A round is a run of something: 4 is the status of a program whose tests all skip.
loop() {
	rounds=0
	while [ "$(date +%s)" -lt "$end" ] && [ ! -e /tmp/failed ]; do
		for name; do
			log=/tmp/soak.${1%% *}
			rc=0
			$name >$log 2>&1 || rc=$?
			if [ $rc = 0 ]; then
				rounds=$((rounds + 1))
			elif [ $rc != 4 ] && mkdir /tmp/failed 2>/dev/null; then
				echo "# failed: $name"
				cat $log
			fi
			echo "# $name, round $rounds"
		done
	done
	[ $rounds != 0 ] || ! mkdir /tmp/failed 2>/dev/null || echo "# failed: all of $* skip"
}
export XM_COUNT=20000
end=$(($(date +%s) + minutes * 60))
loop 'abuse_fuzz --calls 5000' & loop abuse_stress &
loop race_exclusive race_fault race_invalidate engine_jobs engine_teardown \
	engine_freeze &
wait
[ ! -e /tmp/failed ]
"""


def cmd_soak(args, words):
    """Fuzzer, stress test, races and engines beside each other. A program that asks
    how much device memory is free, or takes the modules out, is not among them."""
    return program_in_guest(
        args, words, Boot("run", silence=900, deadline=args.minutes * 60 + 2 * HOUR),
        f"minutes={args.minutes}{SOAK}")


def cmd_shell(args, words):
    target = target_of(args.kernels[0], None)
    run = check.Run(words, "shell", last=False)
    return Guest(target, Boot("shell", exact=False), run.log / "shell").run()


def cmd_long(args, words):
    """One program with arguments of its own, which may take a day: fuzz, lifecycle."""
    # The guest splits the line into words, and knows no quotes.
    line = " ".join(args.args)
    name = check.name_of(line)
    run = check.Run(words, name)
    check.check(run, target_of(args.kernels[0], [name]), [line], boot=LONG, guests=1)
    return run.finish()


def cmd_race_matrix(args, words):
    """All cells, or some, in pieces that both guests share; or how many there are."""
    name = args.command
    program = name.replace("-", "_")
    cells = [word for cell in args.args for word in ("-r", cell)]
    if getattr(args, "count", False):
        return program_in_guest(args, words, Boot("run", silence=900, deadline=2 * HOUR),
                                shlex.join([program, "-c", *(cells or ["--all"])]),
                                programs=[program])
    if program == "race_matrix":
        check.need_cells(args.args)
    run = check.Run(words, name)
    target = target_of(args.kernels[0], [program])
    pieces = 2 if cells and args.args != ["+"] else 16
    some = ["-n", str(args.windows)] if getattr(args, "windows", None) else []
    # The guest splits a line into words, and knows no quotes.
    lines = [" ".join([program, "--all", "--shard", f"{i}/{pieces}", *cells, *some])
             for i in range(1, pieces + 1)]
    check.check(run, target, check.shard(lines, args.shard), boot=LONG)
    return run.finish()


def cmd_kselftest(args, words):
    """Some programs as "make install" lays them out, by run_kselftest.sh, whose results
    are judged like those of a program."""
    run = check.Run(words, "kselftest")
    check.validate(args.tests)
    target = target_of(args.kernels[0], [])
    if target.arch != os.uname().machine:
        raise Usage("make install is for this machine's architecture")
    names = check.named(build.test_programs(), args.tests.split())
    with build.temporary() as tmp:
        script("install.sh", tmp)
        # Only what runs: the guest has it all in memory.
        for path in (tmp / "xmirror").iterdir():
            if path.name in build.test_programs() and path.name not in names:
                path.unlink()
        line = " ".join(["kselftest/run_kselftest.sh",
                         *(f"-t xmirror:{name}" for name in names)])
        check.check(run, target, [line], boot=Boot("check", tree=str(tmp)), guests=1)
    return run.finish(output=args.output)


def cmd_boots(args, words):
    """N boots of a kernel, two at a time, modules loaded and unloaded: none may be
    lost."""
    run = check.Run(words, "boots", last=False)
    target = target_of(args.kernels[0], programs=[])
    lost = 0
    exact = not args.multi
    for first in range(0, args.count, 2):
        boots = [Boot("check", exact=exact)] * min(2, args.count - first)
        kernel = check.boot_guests(run, target, boots)
        for program in kernel["programs"]:
            if program["name"] == "unload":
                program["name"] = f"boot {first + 1 + program['guest']}"
        run.add(kernel)
        lost += bool(kernel["totals"]["failed"] or kernel["judged"] is not True)
        print(f"{first + len(boots)} boots, {lost} pairs with a loss, "
              f"{kernel['seconds']} s", flush=True)
    return run.finish()


def cmd_compare(args, words):
    """The differences between two kernels, or between results of two runs."""
    def results_of(name):
        if os.path.exists(os.path.join(name, "results.json")) or name.endswith(".json"):
            return results.load(name)
        run = check.Run(words, "compare")
        target = target_of(name)
        check.check(run, target, check.choose(target, args.tests))
        return run.results
    both = [results_of(args.base), *map(results_of, args.kernels)]
    out = [line for other in both[1:] for line in results.compare(both[0], other)]
    print("\n".join(out))
    if any(line.startswith("could not be judged") for line in out):
        return UNJUDGED
    return FAILED if any(" -> fail" in line for line in out) else OK


def cmd_merge(args, _words):
    merged = results.merge([results.load(path) for path in args.args])
    if args.output:
        results.save(merged, args.output)
    print("\n".join(results.summary(merged)))
    return results.status(merged)


def cmd_junit(args, _words):
    path = args.output or str(CACHE / "log" / "junit.xml")
    results.junit(results.load(args.log),
                  build.source(kernels.NEWEST) / "tools/testing/kunit/kunit.py", path)
    if not args.output:
        print(Path(path).read_text(), end="")
    return OK


def cmd_summary(args, _words):
    loaded = results.load(args.log)
    print("\n".join(results.summary(loaded)))
    return results.status(loaded)


def cmd_skips(args, _words):
    """Write the lists of expected skips of the kernels of a run. Look at what changed
    before you commit it: each line is a test that tells nothing about that kernel."""
    for kernel in results.load(args.log)["kernels"]:
        if kernel["judged"] is True and kernel["whole"]:
            print(skips.write(kernel))
        else:
            say(f"{kernel['name']} did not run in whole")
    return OK


def cmd_kernel(args, _words):
    """For the shell scripts: a row of the table."""
    if args.args:
        print(kernels.shell(kernels.kernel(args.args[0])))
    else:
        for row in kernels.KERNELS.values():
            print(f"{row.name:16} {row.flavour:6} {row.arch} {row.suite}")
    return OK


def cmd_plant(args, _words):
    """For kernel.sh: plant faults in a copy of a kernel's source. A digest of them, and
    where it is."""
    print(*planted.plant(Path(args.args[0])), sep="\n")
    return OK


def cmd_programs(args, _words):
    """Build the programs; where they are."""
    build.need()
    kdir = args.args[0] if args.args else None
    print(build.programs(build.Programs(kdir)))
    return OK


def cmd_names(args, _words):
    """The tests that the documents name as `PROGRAM: GLOB` or `PROGRAM:GLOB` exist."""
    directory = build.programs(build.Programs())
    text = "\n".join(path.read_text()
                     for path in (build.TOP / "Documentation").glob("*.md"))
    known, wrong = {}, 0
    for program, glob in sorted(set(re.findall(r"`([a-z0-9]+_\w+): ?([^`]*)`", text))):
        if program not in known:
            known[program] = (check.tests_of(directory, program)
                              if (directory / program).exists() else [])
        if not fnmatch.filter(known[program], glob):
            print(f"{program}: {glob}: no such test")
            wrong += 1
    return FAILED if wrong or not known else OK


def option(*names, **more):
    return names, more


ARGS = option("args", nargs="*")
SHARD = option("--shard", metavar="I/N", help="only this part of the run")
OUTPUT = option("-o", "--output", metavar="FILE", help="write it there")
LOG = option("--log", help="a log directory (the last run)")
CHECK = (SHARD, OUTPUT,
         option("--failed", action="store_true", help="what failed in the last run"),
         option("--ktap", action="store_true", help="nested KTAP, and nothing else"))
# Beside -k and -t, which all have
COMMANDS = {
    "check": (cmd_check, "run tests: TESTS='PROGRAM PROGRAM:TEST'", *CHECK),
    "list": (cmd_list, "programs, or the tests of some"),
    "verdict": (cmd_verdict, "a quick chosen set, as nested KTAP", *CHECK),
    "compare": (cmd_compare, "which tests differ between two kernels or runs",
                option("--base", required=True,
                       help="a kernel, or a log directory with results.json")),
    "bisect": (bisect.main, "drive git bisect run in a kernel tree",
               option("--good", required=True), option("--bad", required=True)),
    "demo": (cmd_demo, "the demo", ARGS),
    "bench": (cmd_bench, "the benchmark, on a kernel without debugging", ARGS,
              option("--base", metavar="REF",
                     help="beside the modules and the benchmark of a commit")),
    "shell": (cmd_shell, "a shell in a guest"),
    "long": (cmd_long, "one program with arguments, for up to a day", ARGS),
    "race-matrix": (cmd_race_matrix, "all cells of the race matrix, or some", ARGS, SHARD),
    "race-holds": (cmd_race_matrix, "one side held in the kernel: all cells, or some",
                   ARGS, SHARD, option("--count", action="store_true", help="count "
                                       "functions, windows and cells by pair, run none"),
                   option("--windows", type=int, metavar="N",
                          help="at most so many windows of each side")),
    "soak": (cmd_soak, "everything at once for some minutes",
             option("--minutes", type=int, default=10)),
    "kselftest": (cmd_kselftest, "some programs by run_kselftest.sh", OUTPUT),
    "boots": (cmd_boots, "boot a kernel again and again; none may be lost",
              option("--count", type=int, default=200),
              option("--multi", action="store_true",
                     help="a thread for each emulated CPU, as the demo has")),
    "mutants": (mutants.main, "deliberate mistakes, and what catches them", ARGS,
                option("-n", "--only-check", action="store_true",
                       help="only say which do not apply any more")),
    "planted": (planted.main, "races planted in the kernel, and the cells that find them",
                ARGS),
    "coverage": (coverage.main, "lines of the modules that the tests run"),
    "peer-bugs": (peer.main, "known bugs of the kernel's own test device"),
    "merge": (cmd_merge, "one result of the results of several shards", ARGS, OUTPUT),
    "summary": (cmd_summary, "the summary of a run once more", LOG),
    "skips": (cmd_skips, "write the lists of expected skips, from a run", LOG),
    "junit": (cmd_junit, "the results of a run as JUnit XML", LOG, OUTPUT),
    "kernel": (cmd_kernel, "the table of kernels, or a row of it for a shell", ARGS),
    "plant": (cmd_plant, "the source of a kernel with planted faults", ARGS),
    "programs": (cmd_programs, "build the programs, print where they are", ARGS),
    "names": (cmd_names, "do the tests exist that the documents name?"),
}
EXIT = ("Exit status: 0 all is well, 1 a test failed, 2 usage, 3 a guest could not be "
        "judged (QEMU died, or the host gave it no CPU).")


def parser():
    top = argparse.ArgumentParser(
        prog="xmtest", description="Choose, build, schedule, judge and report.", epilog=EXIT)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    kernel = option("-k", "--kernel", action="append", default=[], dest="kernels",
                    metavar="KERNEL", help="of 'xmtest kernel', or a built tree; may be "
                    f"repeated ({kernels.DEFAULT})")
    tests = option("-t", "--tests", default="*", help="globs of PROGRAM or PROGRAM:TEST")
    for name, (function, text, *options) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=function.__doc__ or text)
        sub.set_defaults(function=function)
        for names, more in [kernel, tests, *options]:
            sub.add_argument(*names, **more)
    return top


def main(words):
    end_by_signals()
    args = parser().parse_args(words)
    args.kernels = args.kernels or [kernels.DEFAULT]
    try:
        for name in args.kernels:
            if "/" in name and not os.path.isdir(name):
                raise Usage(f"no such directory: {name}")
        return args.function(args, words)
    except Usage as error:
        say(error)
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return FAILED
    except (Error, OSError) as error:
        say(error)
        return UNJUDGED
