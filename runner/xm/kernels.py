# SPDX-License-Identifier: GPL-2.0
"""THE table of kernels, and the machines that they run on.

The shell scripts get their row by "xmtest kernel NAME". A new kernel is a line
here, and a list selftests/expected-skips/NAME.
"""
import fnmatch
import shlex
from typing import NamedTuple

from .util import Usage


class Machine(NamedTuple):
    """How QEMU plays a machine of an architecture."""
    qemu: str           # the program
    debian: str         # the architecture's name in Debian
    make: tuple         # arguments of make for modules and kernels
    cc: str             # compiler of the guest's programs
    image: str          # where a build leaves its image
    options: tuple      # the machine
    memory: int         # MiB of each of two nodes
    cpu: str            # under emulation
    console: str        # the kernel log
    port: str           # what the programs print
    serial: tuple       # the two of them; {port} is a chardev
    append: str         # kernel command line
    emulated: str       # the same, under emulation only
    threads: str        # the same, if each emulated CPU has a thread
    turns: str          # the same, if the emulated CPUs take turns on one thread
    params: str         # of xmirror_test: memory that the kernel leaves alone
    packages: tuple = ()        # to install for it


MACHINES = {
    "x86_64": Machine(
        qemu="qemu-system-x86_64", debian="amd64", make=(), cc="gcc",
        image="arch/x86/boot/bzImage",
        options=("-machine", "q35"), memory=1536,
        # Five-level page tables would only make the emulated page walks longer,
        # and fast string moves are emulated byte by byte.
        cpu="max,la57=off,erms=off,fsrm=off",
        console="ttyS0", port="ttyS1",
        serial=("-serial", "chardev:console", "-serial", "chardev:port"),
        append="memmap=512M$0x40000000",
        # The kernel's checks of its clocks fail when the host is busy.
        emulated="tsc=reliable no_timer_check",
        # With several threads QEMU may go on executing a breakpoint that the
        # kernel has patched away ("Oops: int3"): with one CPU until init has set
        # the machine up, and without the broadcast of IPIs, which is a static
        # key, no running text is patched. With one thread this does not happen.
        threads="maxcpus=1 no_ipi_broadcast=1",
        # On one thread, a CPU's turn ends when a timer expires, and the next CPU's
        # is of no length then: QEMU (7.2) runs the timers in its place. Of two
        # busy CPUs, one would never run. So the second CPU of each node is never
        # started, and has the empty turns; and there is a timer each millisecond.
        turns="maxcpus=1",
        params="spm_addr_dev0=0x40000000 spm_addr_dev1=0x50000000"),
    "arm64": Machine(
        qemu="qemu-system-aarch64", debian="arm64",
        make=("ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"),
        cc="aarch64-linux-gnu-gcc", image="arch/arm64/boot/Image",
        options=("-machine", "virt,gic-version=3"), memory=2048,
        # The newest ones have pointer authentication, which is slow to emulate.
        cpu="cortex-a76",
        # There is one PL011; the other port is a PCI card.
        console="ttyAMA0", port="ttyS0",
        serial=("-serial", "chardev:console", "-device", "pci-serial,chardev=port"),
        # Memory begins at 1 GiB; the last 1 GiB is for coherent device memory, which
        # with 64K pages comes in pieces of 512 MiB.
        append="mem=3072M", emulated="", threads="", turns="maxcpus=1",
        params="spm_addr_dev0=0x100000000 spm_addr_dev1=0x120000000",
        packages=("qemu-system-arm", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")),
}


class Kernel(NamedTuple):
    name: str
    version: str        # of the source, or 7.x for the newest 7
    suite: str          # Debian's suite that has it
    release: str        # pattern of its release: not that of its "cloud" and "rt"
    arch: str = "x86_64"
    page_size: int = 4096
    flavour: str = "stock"      # stock, debug, plain
    configs: tuple = ()         # fragments in runner/guest/config
    debian: str = "trixie"      # the suite whose compiler built it
    dkms: bool = False          # modules by DKMS
    base: str = ""      # the row whose image, headers and expected skips it has
    append: str = ""    # kernel command line
    memory: int = 0     # MiB of each node, 0 for those of the machine
    params: str = ""    # of xmirror_test, if not those of the machine
    planted: bool = False       # with faults that can be switched on: see planted.py

    @property
    def machine(self):
        machine = MACHINES[self.arch]
        return machine._replace(memory=self.memory or machine.memory,
                                params=self.params or machine.params)

    @property
    def origin(self):
        return self.base or self.name


def _built(version, suite):
    for flavour, suffix in (("debug", ""), ("plain", "-plain")):
        yield Kernel(version + suffix, version, suite, f"{version}.*",
                     flavour=flavour, configs=("base", "x86_64", flavour, version[0]))


KERNELS = {k.name: k for k in (
    Kernel("stock-7.x", "7.x", "trixie-backports", r"7\.[0-9][^-]*-amd64"),
    Kernel("stock-6.12", "6.12", "trixie", r"6\.12\.[0-9][^-]*-amd64"),
    Kernel("stock-6.1", "6.1", "bookworm", r"6\.1\.[0-9]+-[0-9]+-amd64", debian="bookworm"),
    # Without preemption, which x86 and arm64 of 7.x can't be: stock-7.x is "lazy" as it is.
    Kernel("stock-6.12-none", "6.12", "trixie", r"6\.12\.[0-9][^-]*-amd64",
           base="stock-6.12", append="preempt=none"),
    # For exclusive_cma: node 1 has 1.25 GiB, of which 1 GiB is an area of CMA. Its blocks
    # do not go offline.
    Kernel("stock-7.x-cma", "7.x", "trixie-backports", r"7\.[0-9][^-]*-amd64",
           base="stock-7.x", memory=2048,
           append="hugetlb_cma=1:1G memmap=768M$0x150000000"),
    Kernel("stock-rt", "7.x", "trixie-backports", r"7\.[0-9][^-]*-rt-amd64"),
    Kernel("stock-arm64", "7.x", "trixie-backports", r"7\.[0-9][^-]*-arm64", arch="arm64"),
    Kernel("stock-arm64-16k", "7.x", "trixie-backports", r"7\.[0-9][^-]*-arm64-16k",
           arch="arm64", page_size=16384),
    # A huge page has 512 MiB, and the devices' memory comes in pieces of that: of 2 GiB
    # they leave none. QEMU takes what the guest touches only.
    Kernel("7.3-arm64-64k", "7.3", "trixie-backports", "7.3.*", arch="arm64",
           page_size=65536, flavour="debug",
           configs=("base", "arm64", "arm64-64k", "debug", "7"),
           memory=6144, append="mem=11264M",
           params="spm_addr_dev0=0x300000000 spm_addr_dev1=0x320000000"),
    *_built("7.3", "trixie-backports"),
    Kernel("7.3-planted", "7.3", "trixie-backports", "7.3.*", flavour="debug",
           configs=("base", "x86_64", "debug", "7"), planted=True),
    *_built("6.12", "bookworm-backports"),
    *_built("6.1", "bookworm"),
)}

NEWEST = "7.3"          # whose harness, hmm-tests and checkpatch are used
DEFAULT = "stock-7.x"


def kernel(name):
    """The row called NAME; dkms-X is stock-X with the modules that DKMS makes."""
    name = {"stock": DEFAULT, "dkms": "dkms-7.x", "7.x": DEFAULT}.get(name, name)
    if name.startswith("dkms-"):
        row = kernel("stock-" + name[5:])
        # DKMS builds on the machine itself, which would be emulated.
        return row if row.arch != "x86_64" else row._replace(
            name=name, dkms=True, base=row.origin)
    if name in KERNELS:
        return KERNELS[name]
    # Another 7 than the newest
    if fnmatch.fnmatch(name, "stock-[789].[0-9]*"):
        version = name[6:]
        return KERNELS[DEFAULT]._replace(
            name=name, version=version,
            release=version.replace(".", r"\.") + r"\.[0-9][^-]*-amd64")
    raise Usage(f"no such kernel: {name}; there are {' '.join(KERNELS)}, "
                "or the directory of a built tree")


def shell(row):
    """The row as assignments for a shell."""
    values = row._asdict() | {"configs": " ".join(row.configs),
                              "dkms": int(row.dkms), "planted": int(row.planted),
                              "debian_arch": row.machine.debian,
                              "image": row.machine.image, "cc": row.machine.cc,
                              "make_args": " ".join(row.machine.make),
                              "packages": " ".join(
                                  p for p in row.machine.packages if "qemu" not in p)}
    return "\n".join(f"k_{key}={shlex.quote(str(value))}"
                     for key, value in values.items())
