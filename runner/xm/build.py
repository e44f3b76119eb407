# SPDX-License-Identifier: GPL-2.0
"""The parts of a guest: kernel, modules, programs, initramfs."""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import kernels
from .util import CACHE, TOP, digest, locked, run, say, script

GUEST = TOP / "runner" / "guest"
# The module sources, of which the shell scripts have the list, too
SOURCES = (TOP / "runner" / "sources").read_text().split()
JOBS = f"-j{len(os.sched_getaffinity(0))}"
# The built kernels have these built in, and a stock kernel as modules.
DRIVERS = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "zram", "lzo-rle",
           "hwpoison-inject", "fuse")
MODULES = ("xmirror", "xmirror_test")
SAMPLE = "xmirror_toy"          # only a test loads it


@contextlib.contextmanager
def temporary():
    with tempfile.TemporaryDirectory(prefix="xmirror-") as name:
        yield Path(name)


class Programs:
    """The machine that programs are built for: this one, or a built tree on it."""
    arch, page_size, flavour, kdir = "x86_64", 4096, "none", None
    machine = kernels.MACHINES[arch]

    def __init__(self, kdir=None):
        if kdir:
            self.kdir, self.flavour = Path(kdir).resolve(), "own"

    def source_with(self, file):
        """The source of the tree that the modules are built with, if it has that file."""
        trees = [self.kdir / "source", self.kdir] if self.kdir else []
        return next((tree.resolve() for tree in trees if (tree / file).exists()), None)

    def kselftest(self):
        """The directory with the kernel's harness: of the user's own tree if it has
        that."""
        where = "tools/testing/selftests"
        own = self.flavour == "own" and self.source_with(f"{where}/kselftest_harness.h")
        return (own or source(kernels.NEWEST)) / where


class Target(Programs):
    """A kernel that the user has named, its modules and its programs."""

    def __init__(self, name, flavour="debug", make=()):
        self.name, self.make, self.row, self.tree = name, tuple(make), None, None
        self.bin, self.names, self.append = None, None, ""
        self.hmm_tests = ()         # versions
        if "/" in name:
            self.flavour, origin = "own", Path(name).resolve()
        else:
            row = kernels.kernel(name)
            if flavour == "plain" and row.flavour == "debug":
                row = kernels.kernel(name + "-plain")
            self.row, self.append = row, row.append
            self.name = row.name
            self.machine, self.arch, self.page_size = row.machine, row.arch, row.page_size
            self.flavour, origin = row.flavour, row.origin
            if self.machine.packages:
                need(*self.machine.packages)
        if self.flavour == "stock":
            self.stock(row)
        else:
            self.built(Path(script("kernel.sh", origin)[-1]))

    def wants(self, program):
        """Does a guest get that program? Those of other kernels are in the same
        directory."""
        version = program.partition("hmm-tests.bin-")[2]
        if version:
            return version in self.hmm_tests
        return self.names is None or program in self.names

    def built(self, kdir):
        self.kdir = kdir
        self.image = kdir / self.machine.image
        self.release = (kdir / "include/config/kernel.release").read_text().strip()
        self.symbols = modules(self)
        self.modules = paths_of_modules(self.symbols, (*MODULES, SAMPLE))
        if (kdir / "lib/test_hmm.ko").exists():
            self.modules.append(kdir / "lib/test_hmm.ko")
        vmlinux = kdir / "vmlinux"
        self.vmlinux = vmlinux if vmlinux.exists() else None

    def stock(self, row):
        image, root, self.release = script("stock.sh", "image", row.origin)[-1].split()
        self.image = Path(image)
        self.tree = Path(root) / "lib/modules" / self.release
        if row.dkms:
            self.symbols = Path(script("stock.sh", "dkms", row.origin)[-1])
            own = [next(self.symbols.glob(f"{m}.ko*")) for m in MODULES]
        else:
            self.symbols = modules(self)
            own = paths_of_modules(self.symbols, (*MODULES, SAMPLE))
        self.modules = [*DRIVERS, *own]
        self.vmlinux = None


def source(version):
    """The part of a kernel's source that programs are built with: see lib.sh."""
    return Path(run("bash", "-c", '. "$0"/lib.sh && xm_slice "$1"', TOP / "runner/sh",
                    version, stdout=subprocess.PIPE).strip())


# --- modules --------------------------------------------------------------

BUILT = ("*.o", "*.ko", "*.mod*", ".*.cmd", ".*.d", "*.symvers", "modules.order",
         "*.gcno", "Module.*")


def copy_sources(directory, tree=TOP):
    """The sources of the modules in TREE into DIRECTORY; what was built there stays. By
    contents and without times: a file that is put back has to be newer than what
    was built of another one."""
    directory.mkdir(parents=True, exist_ok=True)
    run("rsync", "-rcl", "--delete", *(f"--exclude={b}" for b in BUILT),
        *(tree / s for s in (*SOURCES, "samples") if (tree / s).exists()), f"{directory}/")


def make_modules(target, directory):
    """Build the modules whose sources are in DIRECTORY, there."""
    if target.kdir:
        run("make", "-s", "-C", target.kdir, f"M={directory}", JOBS, *target.make,
            *target.machine.make, "modules",
            what=f"building the modules for {target.kdir} failed")
    else:
        script("stock.sh", "make", target.row.origin, directory)


def modules(target):
    """Build the modules for a target, in a directory of their own."""
    kernel = target.kdir or Path(target.release)
    name = f"{kernel.name}-{digest(kernel, TOP, *target.make, *target.machine.make)}"
    out = CACHE / "build" / name
    with locked(f"build-{name}"):
        copy_sources(out)
        make_modules(target, out)
    return out


def paths_of_modules(directory, names=MODULES):
    return [next(directory.rglob(f"{m}.ko")) for m in names]


# --- programs -------------------------------------------------------------

def test_programs():
    """Names of the test programs, the longest first, so that no guest is left with
    one at the end."""
    long = ["race_matrix", "abuse_lifecycle"]
    names = run("make", "-s", "-C", TOP / "selftests", "list",
                stdout=subprocess.PIPE).split()
    return [n for n in long if n in names] + [n for n in names if n not in long]


def make_programs(target, out, goals, harness, tree=TOP):
    """Build GOALS of the programs of a checkout, in the directory OUT."""
    run("make", "-s", "-C", tree / "selftests", JOBS, f"OUT={out}",
        f"CC={target.machine.cc}", f"PAGE_SIZE={target.page_size}",
        f"KSELFTEST={harness}", *goals, what=f"building the programs of {tree} failed")


def programs(target, names=None):
    """Build all programs, or those of these NAMES; the directory they are in. The demo
    does without the harness, whose download takes a newcomer's time."""
    alone = names and set(names) <= {"demo"}
    harness = "/nonexistent" if alone else target.kselftest()
    name = f"selftests-{digest(TOP, harness, target.arch, target.page_size)}"
    out = CACHE / "build" / name
    wanted = ["all"] if names is None else [f"{out}/{n}" for n in names
                                            if not n.startswith("hmm-tests")]
    with locked(name):
        out.mkdir(parents=True, exist_ok=True)
        if wanted:
            make_programs(target, out, wanted, harness)
    target.bin, target.names = out, names
    return out


def hmm_tests():
    """Names of the kernel's own hmm-tests, as programs, the longest first."""
    return ["hmm-tests-bench-coherent", "hmm-tests-bench-private", "hmm-tests",
            f"hmm-tests-{kernels.NEWEST}"]


def version_of(tree):
    text = (tree / "Makefile").read_text()
    return ".".join(re.search(rf"^{k} = (\S+)", text, re.M)[1]
                    for k in ("VERSION", "PATCHLEVEL"))


LIMITS = """#include <poll.h>
#include <unistd.h>
#define alarm(seconds) alarm((seconds) * 8)
#define poll(fds, nr, ms) poll(fds, nr, (ms) > 0 ? (ms) * 8 : (ms))
"""


def build_hmm_tests(target):
    """Build the kernel's own hmm-tests beside the programs: those of the target's
    source and those of the newest. The sources are taken as they are. A guest may be
    emulated and full of checks, which no time limit in them thinks of: those limits
    are eight times as long."""
    trees = {version_of(tree): tree for tree in (
        target.source_with("lib/test_hmm_uapi.h"), source(kernels.NEWEST)) if tree}
    target.hmm_tests = tuple(trees)
    with locked(f"{target.bin.name}-hmm-tests"):
        for tree in trees.values():
            build_hmm_tests_of(target, tree)
        for name in hmm_tests():
            shutil.copy(GUEST / "hmm-tests", target.bin / name)


def build_hmm_tests_of(target, tree):
    out = target.bin / f"hmm-tests.bin-{version_of(tree)}"
    tests = next(d for d in (tree / "tools/testing/selftests" / n for n in ("mm", "vm"))
                 if (d / "hmm-tests.c").exists())
    sources = [tests / "hmm-tests.c"]
    # The older ones have a vm_util.c, too, but no use for it.
    if (tests / "hugepage_settings.c").exists():
        sources += [tests / "vm_util.c", tests / "hugepage_settings.c"]
    if out.exists() and out.stat().st_mtime > max(s.stat().st_mtime for s in
                                                  [*sources, Path(__file__)]):
        return
    say(f"building hmm-tests of Linux {version_of(tree)}")
    with temporary() as tmp:
        (tmp / "limits.h").write_text(LIMITS)
        arch = {"x86_64": "x86", "arm64": "arm64"}[target.arch]
        run("make", "-s", "-C", tree, f"O={tmp}", f"ARCH={arch}", "headers")
        # Warnings in there are nothing that could be put right here.
        run(target.machine.cc, "-O2", "-w", "-D_GNU_SOURCE", "-U_FORTIFY_SOURCE",
            "-pthread", "-static", "-I", tree, "-I", tree / "tools/testing/selftests",
            "-isystem", tmp / "usr/include", "-isystem", tree / "tools/include/uapi",
            "-include", tmp / "limits.h", "-o", f"{out}.tmp", *sources)
    os.replace(f"{out}.tmp", out)


# --- initramfs ------------------------------------------------------------

UNPACK = {".xz": ("xz", "-dc"), ".zst": ("zstd", "-qdc"), ".gz": ("gzip", "-dc")}


def add_module(stage, path):
    """Copy a module, unpacked; its name in the guest."""
    path = Path(path)
    name = path.name
    unpack = UNPACK.get(path.suffix)
    if unpack:
        name = path.stem
        with open(stage / name, "wb") as file:
            subprocess.run([*unpack, path], stdout=file, check=True)
    else:
        shutil.copy(path, stage / name)
    return name


def with_dependencies(tree, names):
    """The files of modules of TREE and of what they need, that first. A name that is
    not there is built in, or missed when the guest wants it."""
    needs = {}
    for line in (tree / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[Path(file).name.split(".")[0]] = [file, *rest.split()]
    files = []
    for name in names:
        # modules.dep lists what is needed last to first.
        files += [f for f in reversed(needs.get(name, [])) if f not in files]
    return [tree / f for f in files]


def cpio(stage, output):
    with open(output, "wb") as file:
        subprocess.run(["bash", "-o", "pipefail", "-c",
                        "find . -print0 | cpio -o0 -H newc -R 0:0 --quiet"],
                       cwd=stage, stdout=file, check=True)


def busybox(target):
    """A static busybox for the guest's architecture."""
    if target is None or target.arch == os.uname().machine:
        return shutil.which("busybox")
    return run("bash", "-c", '. "$0"/lib.sh && xm_busybox "$1"', TOP / "runner/sh",
               target.machine.debian, stdout=subprocess.PIPE).strip()


def initramfs_of_probe():
    """One that says that it has booted."""
    with temporary() as stage:
        (stage / "bin").mkdir()
        shutil.copy(busybox(None), stage / "bin/busybox")
        init = stage / "init"
        init.write_text("#!/bin/busybox sh\n/bin/busybox echo xmirror-probe\n"
                        "/bin/busybox poweroff -f\n")
        init.chmod(0o755)
        handle, name = tempfile.mkstemp(prefix="xmirror-probe-")
        os.close(handle)
        cpio(stage, name)
    return name


def initramfs(tmp, target, boot):
    """Settings are in /xm, programs in /xm/bin, modules in /lib/modules: see
    runner/guest/init."""
    stage = tmp / "stage"
    for name in ("bin", "dev", "proc", "sys", "tmp", "mnt", "run", "etc", "root",
                 "lib/modules", "xm/bin"):
        (stage / name).mkdir(parents=True)
    shutil.copy(busybox(target), stage / "bin/busybox")
    shutil.copy(GUEST / "init", stage / "init")
    for file in target.bin.iterdir():
        if file.is_file() and os.access(file, os.X_OK) and target.wants(file.name):
            shutil.copy(file, stage / "xm/bin")
    names = [m for m in target.modules if isinstance(m, str)]
    own = [m for m in target.modules if m not in names] if boot.own_modules else []
    order = [add_module(stage / "lib/modules", file)
             for file in (with_dependencies(target.tree, names) if target.tree else [])]
    for file in [*own, *boot.modules]:
        name = add_module(stage / "lib/modules", file)
        # Those of DKMS are signed.
        if not (target.row and target.row.dkms):
            run(target.machine.cc.replace("gcc", "strip"), "-g",
                stage / "lib/modules" / name)
    (stage / "lib/modules/order").write_text("".join(f"{n}\n" for n in order))
    settings = {
        "mode": boot.mode, "limit": boot.limit, "cmd": boot.command,
        "modules": "" if boot.load else "none", "port": f"/dev/{target.machine.port}",
        "gcov": "/dev/vdc" if boot.gcov else "",
        "params.xmirror_test": "\n".join([target.machine.params, *boot.params])}
    for name, value in settings.items():
        (stage / "xm" / name).write_text(f"{value}\n")
    if boot.tree:
        shutil.copytree(boot.tree, stage / "xm/bin/kselftest")
    cpio(stage, tmp / "initrd")
    shutil.rmtree(stage)
    return str(tmp / "initrd")


def rotate_logs(keep=100):
    """Keep the last runs; those of the last day that have not ended are not touched."""
    old = time.time() - 24 * 3600

    # Another run may be doing the same.
    def ended(path):
        try:
            return (path / "results.json").exists() or path.stat().st_mtime < old
        except FileNotFoundError:
            return False

    for directory in sorted(p for p in (CACHE / "log").iterdir() if p.is_dir() and
                            not p.is_symlink() and ended(p))[:-keep]:
        shutil.rmtree(directory, ignore_errors=True)


def need(*what):
    """Install what this machine lacks; see runner/sh/deps.sh."""
    script("deps.sh", *what)


