# SPDX-License-Identifier: GPL-2.0
"""Is the work tree slower than a commit? Modules and benchmark of both are built, and
one guest loads those of one, runs its benchmark, unloads them, and takes the other's,
some times in turn. For each row the ratio of the medians is printed.

The guest counts instructions, so that a figure depends on nothing that the host does,
and its nanoseconds are instructions executed: what caches and a real TLB cost is not
in them.
"""
import re
import shlex
import shutil
import statistics
import subprocess

from . import build, check, results
from .guest import Boot
from .util import FAILED, OK, TOP, Error, say

TURNS = 3
TOO_SLOW = 1.05
# Small and short: the guest's clock is as exact for it.
OPTIONS = ["--rounds", "3", "--max-size", "4"]
# Unless asked for: the memory that the CPU alone works on is no matter of ours, and a
# fork copies a whole process.
TABLES = ["mirror", "atomics", "migrate", "granule", "cow"]
# The words of a row up to its first figure, which is no part of a size.
ROW = re.compile(r"(\S.*?[A-Za-z])\s\s+(\d[\d.]*)(?![\d.]|\s[KM]iB)")


def add_cow(selftests):
    """The benchmark of a commit from before the table "cow" gets it, too."""
    if not (selftests / "bench_fork.c").exists():
        return
    shutil.copy(TOP / "selftests/bench/cow.c", selftests / "bench_cow.c")
    for name, line in (("bench.c", '\t{ "fork", .alone = run_fork },\n'),
                       ("bench.h", "void run_fork(void);\n")):
        text = (selftests / name).read_text()
        (selftests / name).write_text(text.replace(line, line + line.replace("fork", "cow")))


def checkout(ref, directory):
    directory.mkdir()
    archive = subprocess.run(["git", "-C", TOP, "archive", ref], capture_output=True,
                             check=False)
    if archive.returncode:
        raise Error(f"there is no commit {ref}")
    subprocess.run(["tar", "-x", "-C", directory], input=archive.stdout, check=True)
    add_cow(directory / "selftests")


def side(target, tree, tmp, to):
    """Build the modules and the benchmark of a checkout for TARGET, into TO."""
    modules, bench = tmp / "modules", tmp / "out/bench"
    build.copy_sources(modules, tree)
    build.make_modules(target, modules)
    build.make_programs(target, bench.parent, [bench], target.kselftest(), tree)
    to.mkdir(parents=True)
    for file in (*build.paths_of_modules(modules), bench):
        shutil.copy(file, to)


def shell(options, params):
    words = shlex.join(options)
    return f"""set -e
for turn in $(seq {TURNS}); do
	for side in base work; do
		cd /xm/bin/kselftest/$side
		insmod ./xmirror.ko
		insmod ./xmirror_test.ko {params}
		echo "# bench: $side"
		./bench {words}
		rmmod xmirror_test xmirror
	done
done
"""


def rows(lines):
    """The figures of each row, of base and of work: {(title, row): {side: [...]}}."""
    found, now, title, before = {}, None, "", ""
    for line in lines:
        if line.startswith("# bench: "):
            now = line.split()[-1]
        elif not before.strip():
            title = line.split(";")[0]
        match = ROW.match(line)
        if now and match and not line.startswith(("#", "rows", "xmirror")):
            figures = re.findall(r"(?<!\S)[\d.]+(?!\S)", line[match.start(2):])
            # The time of the device after a fork, not that of the fork
            figure = figures[2] if title.startswith("fork ") else match[2]
            key = (title, " ".join(match[1].split()))
            found.setdefault(key, {"base": [], "work": []})[now].append(float(figure))
        before = line
    return found


def compare(found):
    """The lines of the table, and the rows that are too slow."""
    out, slow, title = [], [], None
    for (section, row), sides in found.items():
        if not sides["base"] or not sides["work"]:
            continue
        if section != title:
            title = section
            out += ["", f"{title}", f"{'':44} {'base':>12} {'work':>12} {'ratio':>7}"]
        base, work = (statistics.median(sides[s]) for s in ("base", "work"))
        # Everything else is a cost.
        ratio = (base / work if "per second" in title else work / base) if work and base \
            else 1.0
        mark = "  SLOWER" if ratio > TOO_SLOW else ""
        if mark:
            slow.append(f"{title}: {row}")
        out.append(f"{row:44} {base:12.1f} {work:12.1f} {ratio:7.2f}{mark}")
    return out, slow


def main(args, words):
    ref = args.base
    build.need()
    target = build.Target(args.kernels[0], flavour="plain")
    options = args.args or [*OPTIONS, *(word for t in TABLES for word in ("--only", t))]
    run = check.Run(words, "bench", last=False)
    with build.temporary() as tmp:
        checkout(ref, tmp / "tree")
        side(target, tmp / "tree", tmp / "of-base", tmp / "guest/base")
        side(target, TOP, tmp / "of-work", tmp / "guest/work")
        target.bin, target.names = tmp, ()
        params = f"{target.machine.params} dmirror=0"
        kernel, lines = check.command(
            run, target, shell(options, params),
            Boot("run", load=False, tree=str(tmp / "guest"),
                 deadline=4 * 3600))
    run.results["kernels"] = [kernel]
    status = results.status(run.results)
    if status:
        run.finish()
        return status
    run.save()
    out, slow = compare(rows(lines))
    print("\n".join([f"base is {ref}; medians of {TURNS} turns; nanoseconds are "
                     "instructions; a ratio above 1 is a slower work tree", *out]))
    say(f"{len(out)} lines; {len(slow)} rows more than 5 % slower than {ref}")
    print("\n".join(f"slower: {row}" for row in slow), flush=True)
    return FAILED if slow or not out else OK
