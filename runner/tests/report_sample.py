# SPDX-License-Identifier: GPL-2.0
"""Results as large as those of a full matrix on three kernels, made up.

usage: report_sample.py FILE.json [BASE.json]

As a program it writes a matrix with a few mm operations only.
"""
import json
import pathlib
import random
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
KERNELS = (("7.3", "7.3.4", "debug"), ("6.12", "6.12.95", "debug"),
           ("6.1", "6.1.192", "debug"))
FAILS = "to_device.cpu_read.migrate_copied"
WINDOWS = {"FAULT": ("fault_begin", "fault_walked", "fault_done"),
           "MM": ("mm_inv_enter", "mm_inv_exit"),
           "RESIDENT": ("mm_queues_stopped",),
           "DEV": ("dev_inv_enter", "dev_inv_exit"),
           "MIGRATE": ("migrate_begin", "migrate_unmapped", "migrate_copied",
                       "migrate_moved"),
           "EVICT": ("evict_begin", "evict_unmapped", "evict_copied")}


def cells(nr_mms=None):
    """The names of all cells, from the tables in the source."""
    folder = TOP / "selftests/race/matrix"
    text = (folder / "device_ops.c").read_text()
    mms = re.findall(r"^\tOP\((\w+)", (folder / "mm_ops.c").read_text(), re.M)[:nr_mms]
    for device, body in re.findall(r'\.name = "(\w+)",\s*\.(?:cap|setup).*?'
                                   r'\.windows = \{(.*?)\},?\n\t\}',
                                   text, re.S) or []:
        windows = []
        for m in re.finditer(r'AT\("(\w+)"|(\w+)_WINDOWS', body):
            windows += [m[1]] if m[1] else WINDOWS[m[2]]
        for mm in mms:
            for w in windows:
                yield f"{device}.{mm}.{w}"


def cell(rnd, name, old):
    """A test: mostly passed."""
    t = {"name": name, "result": "pass", "reason": "", "output": [],
         "seconds": round(rnd.expovariate(4) + 0.02, 3)}
    if old and not name.startswith(("read", "write")) and rnd.random() < 0.3:
        t.update(result="skip",
                 reason="unreachable: the page does not migrate to the device")
    elif rnd.random() < 0.1:
        t.update(result="skip",
                 reason="unreachable: the mm op notifies of nothing here")
    elif rnd.random() < 0.0008 or name == FAILS:
        t.update(result="fail", output=[f"{name}: word 0 is 1003, and not 1004"])
    elif rnd.random() < 0.002:
        t.update(result="xfail", reason="finding 20: folio_free_swap() comes first",
                 output=[f"{name}: the page does not migrate, and the other side waits"])
    return t


def kernel(rnd, name, release, flavour, nr_mms):
    """A kernel with a few programs and the matrix."""
    tests = [cell(rnd, n, name != "7.3") for n in cells(nr_mms)]
    plain = [{"name": f"race.test_{i}", "result": "pass", "reason": "", "output": [],
              "seconds": rnd.random()} for i in range(600)]
    plain[5].update(result="fail", output=["exclusive.c:41:exclusive_dontneed:Expected "
                                           "0 (0) == err (-16)"])
    plain[6].update(result="skip", reason="no huge page was to be had")
    large = {"name": "global.reclaim_of_large_folios_with_an_exclusive_page",
             "result": "xfail" if name == "7.3" else "skip", "output": [],
             "reason": "E15: folio_referenced_one() takes the entry for a present one",
             "seconds": 4.5}
    holds = [{"name": f"{d}.fork@folio_trylock#{i}", "result": "pass", "reason": "",
              "output": [], "seconds": 0.3} for d in ("exclusive", "read")
             for i in (1, 2)]
    holds[1].update(result="fail", output=["the child waits for ever"])
    return {
        "name": name, "release": release, "arch": "x86_64", "flavour": flavour,
        "page_size": 4096, "accel": "tcg,icount", "judged": True, "seconds": 412.5,
        "logs": [f"/root/.cache/xmirror/log/20261128-{name}.0"],
        "programs": [
            {"name": "race_exclusive", "guest": 0, "seconds": 61.2, "status": 1,
             "tests": plain, "reports": []},
            {"name": "exclusive_reclaim", "guest": 1, "seconds": 9.1, "status": 0,
             "tests": [large], "reports": [
                 {"line": "page dumped because: VM_WARN_ON_FOLIO(!pte_present(pte))",
                  "text": "page dumped because: VM_WARN_ON_FOLIO(!pte_present(pte))\n"
                          " folio_referenced_one+0x1a0/0x410 mm/rmap.c:978",
                  "expected": True}]},
            {"name": "race_holds", "guest": 1, "seconds": 2, "status": 1,
             "tests": holds, "reports": []},
            {"name": "race_matrix", "guest": 0, "seconds": 300, "status": 1,
             "tests": tests, "reports": []}],
        "totals": {}}


def results(seed=1, nr_mms=None):
    """The whole."""
    rnd = random.Random(seed)
    return {"format": 1, "xmirror": "0.1", "command": ["make", "race-matrix"],
            "began": "2026-11-28T19:00:00Z", "seconds": 1300.0,
            "host": {"cpus": 2, "machine": "x86_64"},
            "kernels": [kernel(rnd, *k, nr_mms) for k in KERNELS], "totals": {}}


if __name__ == "__main__":
    for number, file in enumerate(sys.argv[1:], 1):
        pathlib.Path(file).write_text(json.dumps(results(number, 5)))
