# SPDX-License-Identifier: GPL-2.0
"""Paths, messages, locks, and the shell scripts in runner/sh."""
import contextlib
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmirror"
SH = TOP / "runner" / "sh"

OK, FAILED, USAGE, UNJUDGED = 0, 1, 2, 3


class Error(Exception):
    """A message for the user; nothing was judged."""


class Usage(Error):
    """The user asked for something that does not exist."""


def say(text):
    print(f"xmirror: {text}", file=sys.stderr, flush=True)


def digest(*words):
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()[:8]


def version():
    return re.search(r'^PACKAGE_VERSION="(.*)"', (TOP / "dkms.conf").read_text(), re.M)[1]


@contextlib.contextmanager
def locked(name):
    """Hold the lock of cache entry NAME."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".lock-{name}", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command, what=None, **options):
    """Run a command whose output goes to standard error; return what it prints if
    capture is asked for by stdout=subprocess.PIPE."""
    options.setdefault("stdout", sys.stderr)
    done = subprocess.run([str(c) for c in command], text=True, check=False,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        raise Error(what or f"{Path(str(command[0])).name} failed")
    return done.stdout


def script(name, *args):
    """The lines that runner/sh/NAME prints. It says itself what went wrong."""
    return run(SH / name, *args, stdout=subprocess.PIPE).splitlines()


def end_by_signals():
    """Let SIGTERM and SIGHUP unwind the stack, so that no guest stays behind. Make and
    timeout both send one: the second must not end what the first has begun."""
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def stop(number, _frame):
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)
    for number in numbers:
        signal.signal(number, stop)
