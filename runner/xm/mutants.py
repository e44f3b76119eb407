# SPDX-License-Identifier: GPL-2.0
"""Puts each deliberate mistake into a copy of the modules and runs the tests that have
to notice it, in a guest: the suite is worth what it catches. A mutant is caught by a
test that fails, or takes the guest down; the next guest then goes on with the rest.
Without any mistake all of these tests have to pass.

A mistake is a patch runner/mutants/NAME.patch. Its text says in a sentence what is
broken, and in lines "Caught-by: PROGRAM TEST" which tests notice.
"""
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from . import build, check
from .guest import Boot
from .util import FAILED, OK, TOP, Error, Usage, say

PATCHES = TOP / "runner" / "mutants"


class Mutant:
    """A patch, and the tests that catch it as pairs of program and test."""

    def __init__(self, path):
        self.name, self.path = path.stem, path
        text = path.read_text().partition("\n---")[0]
        self.sentence = text.partition("Caught-by:")[0].strip()
        self.tests = re.findall(r"^Caught-by: (\S+) (\S+)$", text, re.M)

    def apply(self, directory, *options):
        """Put it into DIRECTORY, unless OPTIONS of git say otherwise; the error of
        git. Code around a change may have changed, but for one line."""
        # Outside a repository, whatever one DIRECTORY may lie in.
        done = subprocess.run(
            ["git", "apply", "--unsafe-paths", "-C1", "--recount", *options, self.path],
            cwd=directory, capture_output=True, text=True, check=False,
            env={"GIT_CEILING_DIRECTORIES": str(Path(directory).parent),
                 "PATH": "/usr/bin:/bin"})
        return done.stderr.strip() if done.returncode else ""

    def wrong(self, directory):
        """The mistakes of the patch, as sentences."""
        wrong = [] if self.sentence.endswith(".") else ["says not what it breaks"]
        wrong += [] if self.tests else ["has no line 'Caught-by: PROGRAM TEST'"]
        error = self.apply(directory, "--check")
        if error:
            wrong.append("does not apply: make the change in the code as it is now, and "
                         f"the patch of it by 'git diff'\n{error}")
        return [f"runner/mutants/{self.name}.patch {what}" for what in wrong]


def stale(mutants):
    """The mistakes of the patches, and unknown names of tests."""
    with build.temporary() as tmp:
        build.copy_sources(tmp / "src")
        wrong = [line for m in mutants for line in m.wrong(tmp / "src")]
    directory = build.programs(build.Programs(), programs_of(mutants))
    known = {name: check.tests_of(directory, name) for name in programs_of(mutants)}
    # The cells of this one are known to a guest only.
    return wrong + [f"runner/mutants/{m.name}.patch: no such test: {program} {test}"
                    for m in mutants for program, test in m.tests
                    if program != "race_holds" and test not in known.get(program, [])]


def programs_of(mutants):
    return sorted({program for m in mutants for program, _ in m.tests} &
                  set(build.test_programs()))


def build_one(mutant, target, tmp):
    """The modules of a mutant, or of none, get names of their own, which insmod does
    not mind."""
    directory = tmp / "build"
    build.copy_sources(directory)
    name = mutant.name if mutant else "none"
    error = mutant.apply(directory) if mutant else ""
    if error:
        raise Error(f"the mutant {name} does not apply: {error}")
    build.make_modules(target, directory)
    files = []
    for path, suffix in zip(build.paths_of_modules(directory), ("", "-test")):
        files.append(tmp / f"{name}{suffix}.ko")
        shutil.copy(path, files[-1])
    return files


def shell(keys):
    """The commands of the guest for steps: NAME PROGRAM TEST, the modules and a test."""
    out = []
    for key in keys:
        name, program, test = key.split()
        out.append(f"""
# With the one before still loaded nothing would be tried.
cd /lib/modules
# For tests that load the modules again
ln -sf {name}.ko xmirror.ko
ln -sf {name}-test.ko xmirror_test.ko
insmod xmirror.ko && insmod xmirror_test.ko $(cat /xm/params.xmirror_test) || exit 1
echo "step: {key} begins"
timeout -s KILL 120 /xm/bin/{program} -r {shlex.quote(test)} >/tmp/out 2>&1
rc=$?
grep -q '^1\\.\\.1' /tmp/out || rc=none
# The harness exits with 0 for a test that it has skipped.
grep -q '^ok 1 .*# SKIP' /tmp/out && rc=4
echo "step: {key} ends $rc"
# A page that was lost keeps rmmod waiting, and nothing ends that: the next guest goes on.
timeout 60 sh -c 'rmmod xmirror_test & wait $!; rmmod xmirror & wait $!' || poweroff -f""")
    return "\n".join(out)


def verdict(sound, with_mistake):
    """The meaning of the exit statuses of a test without and with the mistake."""
    if sound == "4":
        return "BROKEN, skips on this kernel"
    if sound != "0":
        return f"BROKEN, does not pass without the mistake ({sound})"
    if with_mistake == "4":
        return "MISSED, skips"
    return "MISSED" if with_mistake in ("0", "none") else f"caught ({with_mistake})"


def main(args, words):
    mutants = [m for m in map(Mutant, sorted(PATCHES.glob("*.patch")))
               if not args.args or m.name in args.args]
    unknown = set(args.args) - {m.name for m in mutants}
    if unknown:
        raise Usage(f"no such mutant: {' '.join(sorted(unknown))}")
    build.need()
    wrong = stale(mutants)
    if wrong:
        print("\n".join(wrong))
        return FAILED
    if args.only_check:
        return OK
    run = check.Run(words, "mutants", last=False)
    target = build.Target(args.kernels[0])
    build.programs(target, programs_of(mutants))
    with build.temporary() as tmp:
        say(f"building {len(mutants)} mutants")
        modules = build_one(None, target, tmp)
        for mutant in mutants:
            modules += build_one(mutant, target, tmp)
        keys = [" ".join((m.name, *test)) for m in mutants for test in m.tests]
        sound = {key: "none " + key.partition(" ")[2] for key in keys}
        found = check.steps(run, target, sorted(set(sound.values())) + keys, shell,
                            Boot("run", load=False, own_modules=False,
                                 modules=tuple(modules), silence=600, deadline=3600))
    tests = []
    for key in keys:
        name, program, test = key.split()
        said = verdict(*(found[k] or "crash" for k in (sound[key], key)))
        print(f"{name:24} {program + ': ' + test:48} {said}")
        tests.append((f"{name}: {program} {test}", said.startswith("caught"), said))
    run.replace("mutants", tests)
    return run.finish()
