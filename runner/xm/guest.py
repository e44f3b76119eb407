# SPDX-License-Identifier: GPL-2.0
"""One QEMU guest: boots it, talks to it, ends it, keeps its logs.

A guest must not outlive this program, however that ends: setpriv covers the case
that it is killed.
"""
import contextlib
import os
import re
import subprocess
import threading
import time
from typing import NamedTuple, Optional

from . import build
from .kernels import MACHINES
from .util import CACHE, USAGE, Error, digest, locked, run, say

# The longest program takes half of it, on a debug kernel with pages of 64 KiB.
LIMIT = os.environ.get("XM_LIMIT", "600")
if not LIMIT.isdecimal():
    say(f"XM_LIMIT={LIMIT} is no number of seconds")
    raise SystemExit(USAGE)
TICK = os.sysconf("SC_CLK_TCK")


class Boot(NamedTuple):
    """The task of a guest."""
    mode: str                   # check, run, shell
    command: str = ""           # of mode run
    load: bool = True           # the modules
    exact: bool = True          # emulated, the guest's clock counts instructions
    limit: int = int(LIMIT)     # of a program, in seconds
    silence: int = 0            # without a line for so long it hangs; 0: by the limit
    deadline: int = 3600        # of the whole run
    params: tuple = ()          # of xmirror_test
    modules: tuple = ()         # more .ko files, or none of the target's
    own_modules: bool = True
    tree: Optional[str] = None  # a directory that becomes /xm/bin/kselftest
    gcov: Optional[str] = None  # a file for the modules' counts


# --- KVM or emulation -----------------------------------------------------

def _kvm_boots(machine, image):
    """/dev/kvm being there does not mean that a guest runs under it."""
    initrd = build.initramfs_of_probe()
    try:
        done = subprocess.run(
            [machine.qemu, "-accel", "kvm", "-cpu", "host", "-m", "512", "-smp", "2",
             "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             "-serial", "stdio", "-kernel", image, "-initrd", initrd, "-append",
             f"console={machine.console} quiet panic=-1"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=15, check=False)
        return b"xmirror-probe" in done.stdout
    except subprocess.TimeoutExpired:
        return False
    finally:
        os.unlink(initrd)


def acceleration(machine, image):
    """kvm or tcg. That KVM works is true of all kernels; that it does not may be the
    image's fault, and is kept for that one. All is asked again when the machine was
    rebooted or QEMU changed. XM_ACCEL overrides."""
    forced = os.environ.get("XM_ACCEL")
    if forced:
        if forced not in ("kvm", "tcg"):
            raise Error("XM_ACCEL is kvm or tcg")
        return forced
    native = machine is MACHINES.get(os.uname().machine)
    if not native or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = open("/proc/sys/kernel/random/boot_id", encoding="ascii").read().strip()
    qemu = subprocess.run([machine.qemu, "--version"], capture_output=True, check=True)
    stat = os.stat(image)
    key = digest(boot, qemu.stdout, os.stat("/dev/kvm").st_ino)
    bad = digest(image, stat.st_size, stat.st_mtime)
    memo = CACHE / f"accel-{key}"
    with locked("accel"):
        known = memo.read_text().split() if memo.exists() else []
        if "kvm" not in known and bad not in known:
            known.append("kvm" if _kvm_boots(machine, image) else bad)
            memo.write_text("\n".join(known) + "\n")
            if "kvm" not in known:
                say(f"there is /dev/kvm, but {image} does not boot under it: emulating")
    return "kvm" if "kvm" in known else "tcg"


# --- the guest ------------------------------------------------------------

class Guest:
    """on_line(line) is called for each line; next_program() answers the guest."""

    running = set()

    def __init__(self, target, boot, log, on_line=None, next_program=None):
        self.target, self.boot, self.log = target, boot, log
        self.on_line = on_line or (lambda line: None)
        self.next_program = next_program or (lambda: "")
        self.accel = acceleration(target.machine, target.image)
        self.exact = (self.accel == "tcg" and boot.exact and
                      os.environ.get("XM_THREAD", "single") == "single")
        self.process = None
        self.hang = self.unjudged = None
        self.last_line = 0.0
        self.used = 0.0             # CPU seconds of QEMU at the last line

    def accel_name(self):
        return "tcg,icount" if self.exact else self.accel

    def options(self, initrd, swap, scratch):
        machine, boot = self.target.machine, self.boot
        append = (f"console={machine.console} ignore_loglevel panic=-1 kasan_multi_shot "
                  f"kmemleak=on {machine.append} nokaslr secretmem.enable=1 "
                  "watchdog_thresh=30 rcupdate.rcu_cpu_stall_timeout=60")
        if self.accel == "tcg":
            append += f" {machine.emulated} " + (
                machine.turns if self.exact else machine.threads)
            accel = ["-accel", f"tcg,thread={'single' if self.exact else 'multi'}",
                     "-cpu", machine.cpu]
            # The guest's clock counts instructions, and idle time is skipped: a busy
            # host makes no deadline of the guest expire.
            if self.exact:
                accel += ["-icount", "shift=1,sleep=off"]
                # See Machine.turns.
                accel += ["-netdev", "hubport,id=nobody,hubid=0", "-object",
                          "filter-buffer,id=turn,netdev=nobody,interval=1000"]
        else:
            accel = ["-accel", "kvm", "-cpu", "host"]
        append += f" {self.target.append} " + os.environ.get("XM_APPEND", "")
        cpus = 2 if self.exact else 1   # of a node
        disks = [swap, scratch] + ([boot.gcov] if boot.gcov else [])
        return [
            "setpriv", "--pdeathsig", "KILL", machine.qemu, *accel, *machine.options,
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-smp", f"{2 * cpus},sockets=2,cores={cpus}",
            "-m", f"{2 * machine.memory}M",
            "-object", f"memory-backend-ram,id=m0,size={machine.memory}M",
            "-object", f"memory-backend-ram,id=m1,size={machine.memory}M",
            "-numa", f"node,nodeid=0,cpus=0-{cpus - 1},memdev=m0",
            "-numa", f"node,nodeid=1,cpus={cpus}-{2 * cpus - 1},memdev=m1",
            "-kernel", str(self.target.image), "-initrd", initrd, "-append", append,
            *(word for number, disk in enumerate(disks) for word in
              ("-drive", f"file={disk},if=none,id=d{number},format=raw,cache=unsafe",
               "-device", f"virtio-blk-pci,drive=d{number}")),
            "-chardev", f"file,id=console,path={self.log}/console.log",
            "-chardev", "stdio,id=port,signal=off", *machine.serial]

    def run(self):
        """Boot it and wait for its end; its logs are complete then."""
        self.log.mkdir(parents=True)
        build.rotate_logs()
        with build.temporary() as tmp:
            initrd = build.initramfs(tmp, self.target, self.boot)
            for name in ("swap", "scratch"):
                with open(tmp / name, "wb") as file:
                    file.truncate(512 << 20)
            run("/sbin/mkfs.ext4", "-q", "-F", tmp / "scratch")
            if self.boot.gcov:
                with open(self.boot.gcov, "wb") as file:
                    file.truncate(64 << 20)
            options = self.options(initrd, tmp / "swap", tmp / "scratch")
            if self.boot.mode == "shell":
                return self.shell(options)
            return self.watched(options)

    def shell(self, options):
        say(f"the kernel log is in {self.log}/console.log")
        stty = subprocess.run(["stty", "-g"], capture_output=True, text=True, check=False)
        try:
            return subprocess.run(options, check=False).returncode
        finally:
            if not stty.returncode:
                subprocess.run(["stty", stty.stdout.strip()], check=False)

    def watched(self, options):
        began = self.last_line = time.monotonic()
        with open(self.log / "qemu.log", "wb") as errors:
            self.process = subprocess.Popen(options, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors)
        Guest.running.add(self)
        watch = threading.Thread(target=self.watch, args=(began,), daemon=True)
        watch.start()
        with open(self.log / "result.log", "wb") as result, \
                open(self.log / "result.times", "w", encoding="ascii") as times:
            for line in self.process.stdout:
                now = time.monotonic()
                self.last_line, self.used = now, self.cpu_seconds()
                result.write(line)
                result.flush()
                times.write(f"{now - began:.3f}\n")
                text = line.decode(errors="replace").rstrip("\r\n")
                if text.startswith("# xmirror: next"):
                    self.answer(self.next_program())
                else:
                    self.on_line(text)
        status = self.process.wait()
        Guest.running.discard(self)
        watch.join()
        lines = [f"mode {self.boot.mode}", f"qemu {status}", f"accel {self.accel_name()}"]
        lines += [f"hang {self.hang}"] if self.hang else []
        lines += [f"unjudged {self.unjudged}"] if self.unjudged else []
        (self.log / "end").write_text("\n".join(lines) + "\n")
        return status

    def answer(self, name):
        with contextlib.suppress(OSError):
            self.process.stdin.write(f"{name}\n".encode())
            self.process.stdin.flush()

    # The guest itself ends a program that takes too long. When it is silent for
    # longer, it hangs, if it had the CPU: what it did not get is the host's fault.

    def cpu_seconds(self):
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / TICK
        except (OSError, IndexError):
            return self.used

    def waited_seconds(self):
        """How long QEMU's threads wanted to run and could not."""
        total = 0
        for task in (f"/proc/{self.process.pid}/task/{t}/schedstat"
                     for t in os.listdir(f"/proc/{self.process.pid}/task")):
            with open(task, encoding="ascii") as file:
                total += int(file.read().split()[1])
        return total / 1e9

    def watch(self, began):
        silence = self.boot.silence or self.boot.limit + 120
        # An instruction costs an emulated CPU more than the clock says.
        factor = 2 if self.exact else 1
        waited, line = 0.0, self.last_line
        while self.process.poll() is None:
            time.sleep(1)
            now = time.monotonic()
            try:
                used = self.cpu_seconds()
                if line != self.last_line:
                    line, waited = self.last_line, self.waited_seconds()
                starved = self.waited_seconds() - waited
            except OSError:
                continue
            # Where idle time is not skipped, a guest that waits for ever uses no CPU.
            alone = used - self.used if self.exact else now - line - starved
            if alone > silence * factor:
                self.hang = f"no line for {now - line:.0f} s, {alone:.0f} s of CPU"
            elif now - line > 5 * silence * factor:
                self.unjudged = (f"no progress: no line for {now - line:.0f} s, in which "
                                 f"QEMU got {used - self.used:.0f} s of CPU")
            elif (used if self.accel == "tcg" else now - began) > self.boot.deadline * factor:
                self.hang = f"still running after {now - began:.0f} s"
            elif now - began > 10 * self.boot.deadline:
                self.unjudged = (f"no end after {now - began:.0f} s, in which QEMU got "
                                 f"{used:.0f} s of CPU")
            if self.hang or self.unjudged:
                self.process.kill()
                return

    @classmethod
    def kill_all(cls):
        for guest in list(cls.running):
            guest.process.kill()


def release_of(log):
    """The release of the kernel that has booted."""
    with contextlib.suppress(OSError), \
            open(log / "console.log", errors="replace", encoding="utf-8") as file:
        match = re.search(r"Linux version (\S+)", file.read(200000))
        return match and match[1]
