# SPDX-License-Identifier: GPL-2.0
"""Puts each deliberate mistake into a copy of the modules and runs the test that has
to notice it, in a guest: the suite is worth what it catches. A mutant is caught when
its test fails, or takes the guest down; the next guest then goes on with the rest.
Without any mistake all of these tests have to pass.

A mistake is a patch runner/mutants/NAME.patch, whose first line is PROGRAM:TEST; or a
line of runner/mutants.list, NAME FILE PROGRAM TEST SED-EXPRESSION.
"""
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from . import build, check, results
from .guest import Boot
from .util import FAILED, OK, TOP, Error, Usage, run as run_command, say

LIST = TOP / "runner" / "mutants.list"
PATCHES = TOP / "runner" / "mutants"


class Patch:
    def __init__(self, path):
        self.name, self.path = path.stem, path
        self.program, _, self.test = path.read_text().split("\n", 1)[0].partition(":")

    def apply(self, directory, only_check=False):
        """Put it into DIRECTORY; does it apply?"""
        options = ["--check"] if only_check else []
        # Outside a repository, whatever one DIRECTORY may lie in.
        return not subprocess.run(
            ["git", "apply", "--unsafe-paths", *options, self.path], cwd=directory,
            capture_output=not only_check, check=False,
            env={"GIT_CEILING_DIRECTORIES": str(Path(directory).parent),
                 "PATH": "/usr/bin:/bin"}).returncode


class Sed:
    def __init__(self, line):
        self.name, self.file, self.program, self.test, self.expression = \
            line.split(None, 4)

    def apply(self, directory, only_check=False):
        path = Path(directory) / self.file
        if not path.exists():
            return False
        before = path.read_text()
        after = run_command("sed", self.expression, path, stdout=subprocess.PIPE)
        if not only_check:
            path.write_text(after)
        return before != after


def all_mutants():
    mutants = [Patch(p) for p in sorted(PATCHES.glob("*.patch"))]
    if LIST.exists():
        mutants += [Sed(line) for line in LIST.read_text().splitlines()
                    if line.strip() and not line.startswith("#")]
    return mutants


def stale(mutants):
    """Those that change nothing, because the code is another by now."""
    with build.temporary() as tmp:
        build.copy_sources(tmp / "src")
        return [m.name for m in mutants if not m.apply(tmp / "src", only_check=True)]


def convert():
    """Make patches of the lines of mutants.list; those that are stale stay there."""
    rest = []
    for line in LIST.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        mutant = Sed(line)
        with build.temporary() as tmp:
            for side in ("a", "b"):
                build.copy_sources(tmp / side)
            if not mutant.apply(tmp / "b"):
                rest.append(line)
                continue
            diff = subprocess.run(["diff", "-U1", f"a/{mutant.file}", f"b/{mutant.file}"],
                                  cwd=tmp, capture_output=True, text=True, check=False)
        text = re.sub(r"^(--- a/\S+|\+\+\+ b/\S+)\t.*$", r"\1", diff.stdout, flags=re.M)
        PATCHES.mkdir(exist_ok=True)
        (PATCHES / f"{mutant.name}.patch").write_text(
            f"{mutant.program}:{mutant.test}\n{text}")
    if rest:
        LIST.write_text("".join(f"{line}\n" for line in rest))
    else:
        LIST.unlink()
    return rest


def build_one(mutant, kdir, tmp):
    """The modules of a mutant get names of their own, which insmod does not mind."""
    directory = tmp / "build"
    build.copy_sources(directory)
    name = mutant.name if mutant else "none"
    if mutant and not mutant.apply(directory):
        raise Error(f"the mutant {name} changes nothing")
    build.make_modules(kdir, directory)
    files = []
    for path, suffix in zip(build.paths_of_modules(directory), ("", "-test")):
        files.append(tmp / f"{name}{suffix}.ko")
        shutil.copy(directory / path, files[-1])
    return files


def shell(steps):
    """What the guest does: say what each test exits with. A step is a key, the name
    of the modules, and the mutant whose test it runs."""
    out = []
    for key, name, mutant in steps:
        out.append(f"""
# With the one before still loaded nothing would be tried.
cd /lib/modules
# For tests that load the modules again
ln -sf {name}.ko xmirror.ko
ln -sf {name}-test.ko xmirror_test.ko
insmod xmirror.ko && insmod xmirror_test.ko $(cat /xm/params.xmirror_test) || exit 1
echo "mutant {key} begins"
timeout -s KILL 120 /xm/bin/{mutant.program} -r {shlex.quote(mutant.test)} >/tmp/out 2>&1
rc=$?
grep -q '^1\\.\\.1' /tmp/out || rc=none
echo "mutant {key} exits $rc"
rmmod xmirror_test; rmmod xmirror""")
    return "\n".join(out)


def verdicts(run, target, steps, modules):
    """{key: exit status, "none" or "crash"}: until each has one, for a guest may die
    of a mutant."""
    found = {}
    while True:
        todo = [s for s in steps if s[0] not in found]
        if not todo:
            return found
        boot = Boot("run", load=False, own_modules=False, modules=tuple(modules),
                    silence=600, deadline=3600)
        run.results["kernels"] = []
        kernel, lines = check.command(run, target, shell(todo), boot, echo=False)
        before = len(found)
        begun = None
        for line in lines:
            match = re.fullmatch(r"mutant (\S+) (begins|exits (\S+))", line)
            if match and match[2] == "begins":
                begun = match[1]
            elif match:
                found[match[1]] = match[3]
        # The one that has begun and not ended took the guest with it.
        if begun and begun not in found and kernel["judged"] is True:
            found[begun] = "crash"
        if len(found) == before:
            raise Error("the guest got nowhere: " + "; ".join(
                [str(kernel["judged"])] + lines[-5:]))
        say(f"{len(found)} of {len(steps)} runs done")


def main(kernel, names, only_check, words):
    mutants = [m for m in all_mutants() if not names or m.name in names]
    if not mutants:
        raise Usage(f"no such mutant: {' '.join(names)}")
    old = stale(mutants)
    if old:
        say(f"mutants that change nothing: {' '.join(old)}")
        return FAILED
    if only_check:
        return OK
    run = check.Run(words, "mutants")
    build.need()
    target = build.Target(kernel)
    if not target.kdir:
        raise Usage("the mutants need a built kernel, such as 7.3")
    build.programs(target, sorted({m.program for m in mutants}))
    with build.temporary() as tmp:
        say(f"building {len(mutants)} mutants")
        modules = build_one(None, target.kdir, tmp)
        for mutant in mutants:
            modules += build_one(mutant, target.kdir, tmp)
        steps = [(f"none:{m.name}", "none", m) for m in mutants]
        steps += [(m.name, m.name, m) for m in mutants]
        found = verdicts(run, target, steps, modules)
    tests = []
    for m in mutants:
        sound, with_mistake = found[f"none:{m.name}"], found[m.name]
        if sound != "0":
            said = f"BROKEN, fails without the mistake, too ({sound})"
        elif with_mistake in ("0", "none"):
            said = "MISSED"
        else:
            said = f"caught ({with_mistake})"
        print(f"{m.name:24} {m.program + ': ' + m.test:40} {said}")
        tests.append({"name": m.name, "reason": said, "output": [], "seconds": None,
                      "result": "pass" if said.startswith("caught") else "fail"})
    kernel = run.results["kernels"][-1]
    kernel["programs"] = [{"name": "mutants", "guest": 0, "seconds": None, "status": 0,
                           "tests": tests, "reports": []}]
    kernel["judged"], kernel["totals"] = True, results.count(kernel["programs"])
    run.results["kernels"] = [kernel]
    return run.finish()
