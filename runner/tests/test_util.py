# SPDX-License-Identifier: GPL-2.0
"""What the other modules share."""
import subprocess
import sys
import unittest

from xm.util import TOP

# Make has sent one signal, and timeout sends another while the first unwinds the stack.
TWICE = """
import os, signal
from xm.util import end_by_signals
end_by_signals()
try:
    os.kill(os.getpid(), signal.SIGTERM)
finally:
    os.kill(os.getpid(), signal.SIGTERM)
    print("cleaned up")
"""


class Signals(unittest.TestCase):
    def test_second_signal_does_not_stop_the_cleanup_of_the_first(self):
        done = subprocess.run([sys.executable, "-B", "-c", TWICE], cwd=TOP / "runner",
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         ("cleaned up\n", "", 128 + 15))
