# SPDX-License-Identifier: GPL-2.0
"""The comparison of two benchmarks: rows, and which are slower."""
import unittest

from xm import bench

TURN = """# bench: {side}
xmirror bench: medians of 3 rounds, of 3 from 64 MiB on

ns per 4 KiB page; ratio: in-tree / xmirror; spread of half of the rounds
operation                         size      xmirror      in-tree    ratio  spread
read fault + copy, fresh          4 KiB         {fault}         none        -      1%
rows of 64 KiB and more: 40, over 1.15 times their floor: 0

fetch-and-add by one thread, million per second
                                     device          CPU   device/CPU
8 bytes, one location                  {rate}         80.0       50.00%

fork while the device works on pages, microseconds; the child lives on
memory     policy           fork  taking back         work   faults  spread
4 KiB      lazy          14947.0          0.0        {work}        1      3%
"""


def turn(side, fault, rate, work):
    return TURN.format(side=side, fault=fault, rate=rate, work=work).splitlines()


class Bench(unittest.TestCase):
    def setUp(self):
        lines = (turn("base", 100, 40.0, 800.0) + turn("work", 104, 30.0, 400.0) +
                 turn("base", 100, 40.0, 800.0) + turn("work", 104, 30.0, 400.0))
        self.rows = bench.rows(lines)

    def test_each_row_has_its_figures(self):
        self.assertEqual(
            [row for _, row in self.rows],
            ["read fault + copy, fresh 4 KiB", "8 bytes, one location", "4 KiB lazy"])
        self.assertEqual(list(self.rows.values())[2],
                         {"base": [800.0, 800.0], "work": [400.0, 400.0]})

    def test_a_lower_rate_is_slower_and_four_percent_are_not(self):
        _, slow = bench.compare(self.rows)
        self.assertEqual(slow, ["fetch-and-add by one thread, million per second: "
                                "8 bytes, one location"])
