# SPDX-License-Identifier: GPL-2.0
"""Races of the kernel that only a window in the kernel shows, planted again: each is
switched on by a bit of /sys/module/kernel/parameters/planted, and found by one cell of
race_holds. See Documentation/holds.md.

A fault is lines that are inserted into mm/ of the newest kernel: a guard in front of a
statement, or a piece of what was there before it was mended. No line of the kernel is
here; an anchor is a regular expression that matches in one place of a function.
"""
import collections
import re
import shlex
import shutil
import subprocess
from typing import NamedTuple

from . import build, check
from .guest import Boot
from .util import CACHE, Error, Usage, digest, locked, say

TIMES = 100         # that a cell is run
ENOUGH = 99         # of the cells have to find it


class Insert(NamedTuple):
    """TEXT goes behind what ANCHOR matches in a function, "" for the whole file."""
    file: str
    function: str
    anchor: str
    text: str


class Fault(NamedTuple):
    name: str           # an id of Documentation/behaviour.md, or ours
    what: str           # in a few words
    cell: str           # finds it
    inserts: tuple
    others: tuple = ()  # what a person would run: programs with their arguments


def guard(name, indent):
    """The statement behind it is only run without the fault."""
    tabs = "\t" * indent
    return f"{tabs}if (!xm_planted({name}))\n\t"


MATRIX = "race_matrix --all -r "
FAULTS = (
    Fault(
        "E1", "a CPU fault locks an exclusive page without a reference",
        "excl_read@__mmu_notifier_invalidate_range_start#1.madv_dontneed", (
            Insert("memory.c", "remove_device_exclusive_entry",
                   r"(?=\tif \(!folio_try_get\(folio\)\)\n)", guard("E1", 1)),
            Insert("memory.c", "remove_device_exclusive_entry",
                   r"\tif \(ret\) \{\n(?=\t\tfolio_put\(folio\);)", guard("E1", 2)),
            Insert("memory.c", "remove_device_exclusive_entry",
                   r"\tfolio_unlock\(folio\);\n(?=\tfolio_put\(folio\);)",
                   guard("E1", 1))),
        (MATRIX + "exclusive.madv_dontneed", "exclusive_end", "race_exclusive")),
    Fault(
        "M1", "a private page has no reference while a CPU fault migrates it",
        "cpu_return@migrate_vma_setup#1.madv_dontneed", (
            Insert("memory.c", "do_swap_page",
                   r"(?=\t\t\t\tget_page\(vmf->page\);\n\t+pte_unmap_unlock)",
                   # Splitting a large one wants the reference.
                   "\t\t\t\tif (!xm_planted(M1) ||\n"
                   "\t\t\t\t    folio_test_large(page_folio(vmf->page)))\n\t"),
            # When the fault comes to the page by its page table
            Insert("migrate_device.c", "migrate_vma_collect_pmd",
                   r"\t\tfolio = page_folio\(page\);\n\t\tfolio_get\(folio\);\n",
                   "\t\tif (xm_planted(M1) && folio == fault_folio &&\n"
                   "\t\t    folio_ref_count(folio) == folio_mapcount(folio) + 1)\n"
                   "\t\t\tfolio_get(folio);\n"),
            Insert("memory.c", "do_swap_page",
                   r"\t\t\t\tunlock_page\(vmf->page\);\n(?=\t\t\t\tput_page)",
                   "\t\t\t\tif (!xm_planted(M1) || page_ref_count(vmf->page))\n\t")),
        (MATRIX + "cpu_return.madv_dontneed", "devmem_fault", "devmem_migrate")),
    Fault(
        "M4", "whoever waits for a private page holds it, so that it cannot migrate",
        "cpu_return@migrate_vma_setup#1.cpu_add", (
            Insert("memory.c", "do_swap_page",
                   r"(?=\t\t\tif \(trylock_page\(vmf->page\)\) \{\n)",
                   "\t\t\tif (xm_planted(M4)) {\n"
                   "\t\t\t\tget_page(vmf->page);\n"
                   "\t\t\t\tpte_unmap_unlock(vmf->pte, vmf->ptl);\n"
                   "\t\t\t\tlock_page(vmf->page);\n"
                   "\t\t\t\tret = page_pgmap(vmf->page)->ops->migrate_to_ram(vmf);\n"
                   "\t\t\t\tunlock_page(vmf->page);\n"
                   "\t\t\t\tput_page(vmf->page);\n"
                   "\t\t\t\tgoto out;\n"
                   "\t\t\t}\n"),),
        (MATRIX + "cpu_return.cpu_add", "devmem_fault", "devmem_migrate")),
    Fault(
        "M10", "a page table is lost if a huge page cannot be put where one has come",
        "huge:populate@migrate_vma_pages#1.cpu_add", (
            Insert("migrate_device.c", "migrate_vma_insert_huge_pmd_page",
                   r"free_abort:\n", guard("M10", 1)),),
        (MATRIX + "to_device.cpu_add", "devmem_migrate", "devmem_huge")),
    Fault(
        "M11", "the lock of a PMD that migrates is released twice",
        "huge:to_device.move_pages_both@try_to_unmap_flush#1", (
            Insert("migrate_device.c", "migrate_vma_collect_huge_pmd",
                   r"(?=\t\tif \(!softleaf_is_device_private\(entry\) \|\|\n)",
                   "\t\tif (xm_planted(M11) && softleaf_is_migration(entry)) {\n"
                   "\t\t\tsoftleaf_entry_wait_on_locked(entry, ptl);\n"
                   "\t\t\tspin_unlock(ptl);\n"
                   "\t\t\treturn -EAGAIN;\n"
                   "\t\t}\n"),),
        (MATRIX + "to_device.move_pages_both", "devmem_migrate", "devmem_huge")),
    Fault(
        "end_early", "madvise() tells the notifiers that it has ended before it zaps",
        "write.madv_dontneed@__zap_vma_range#1", (
            Insert("memory.c", "zap_vma_range_batched",
                   r"\tmmu_notifier_invalidate_range_start\(&range\);\n",
                   "\tif (xm_planted(end_early))\n"
                   "\t\tmmu_notifier_invalidate_range_end(&range);\n"),
            Insert("memory.c", "zap_vma_range_batched",
                   r"(?=\tmmu_notifier_invalidate_range_end\(&range\);\n"
                   r"\tif \(is_vm_hugetlb)", guard("end_early", 1))),
        (MATRIX + "write.madv_dontneed", "race_invalidate", "race_fault")),
    Fault(
        "looks_early", "what is put into an empty entry is not looked for under the lock",
        "populate@pte_offset_map_lock#2.cpu_add", (
            Insert("migrate_device.c", "migrate_vma_insert_page",
                   r"(?=\tptep = pte_offset_map_lock\(mm, pmdp, addr, &ptl\);\n)",
                   "\tif (xm_planted(looks_early)) {\n"
                   "\t\tptep = pte_offset_map(pmdp, addr);\n"
                   "\t\torig_pte = ptep ? ptep_get(ptep) : __pte(0);\n"
                   "\t\tif (ptep)\n"
                   "\t\t\tpte_unmap(ptep);\n"
                   "\t}\n"),
            Insert("migrate_device.c", "migrate_vma_insert_page",
                   r"(?=\torig_pte = ptep_get\(ptep\);\n)", guard("looks_early", 1))),
        (MATRIX + "to_device.cpu_add", "devmem_migrate", "devmem_none")),
    Fault(
        "wp_lost", "a page that has been write-protected meanwhile becomes exclusive",
        "exclusive@folio_walk_start#1.uffd_wp", (
            Insert("rmap.c", "make_device_exclusive",
                   r"(?=\tif \(fw_folio != folio \|\| fw\.page != page \|\|\n)",
                   "\tif (xm_planted(wp_lost) && fw_folio == folio &&\n"
                   "\t    fw.level == FW_LEVEL_PTE)\n"
                   "\t\tfw.pte = pte_mkwrite_novma(fw.pte);\n"),),
        (MATRIX + "exclusive.uffd_wp", "exclusive_write_protect", "race_exclusive")),
)
# The switch; and each page that is freed in a bad state is reported, not 60 a minute.
COMMON = (
    Insert("internal.h", "", r"struct folio_batch;\n(?=struct hstate;\n)",
           "enum {\n" + "".join(f"\tXM_{fault.name},\n" for fault in FAULTS) + "};\n"
           "extern unsigned int xm_planted_faults;\n"
           "#define xm_planted(name) (READ_ONCE(xm_planted_faults) & BIT(XM_##name))\n"),
    Insert("memory.c", "", r"(?=static vm_fault_t do_fault\(struct vm_fault \*vmf\);\n)",
           "#include <linux/moduleparam.h>\n"
           "unsigned int xm_planted_faults;\n"
           "core_param(planted, xm_planted_faults, uint, 0644);\n"),
    Insert("page_alloc.c", "bad_page", r"\tstatic unsigned long nr_unshown;\n",
           "\n\tif (xm_planted_faults)\n\t\tnr_shown = 0;\n"),
)


# --- planting -------------------------------------------------------------

def spans_of(text, function):
    """Where functions of that name are, from the name to the brace that ends them."""
    if not function:
        return [(0, len(text))]
    return [m.span() for m in re.finditer(
        rf"^[a-z][^\n;]*\b{function}\([^;{{]*\)\n\{{\n.*?^\}}\n", text, re.M | re.S)]


def insert(text, what):
    """TEXT with one insertion."""
    places = [m.end() for start, end in spans_of(text, what.function)
              for m in re.compile(what.anchor).finditer(text, start, end)]
    if len(places) != 1:
        raise Error(f"mm/{what.file}: {what.function}(): {len(places)} places for "
                    f"{what.anchor}")
    return text[:places[0]] + what.text + text[places[0]:]


def plant(source):
    """A copy of a kernel's source, made of links, with all faults. A digest of these, and
    where it is."""
    inserts = [*COMMON, *(i for fault in FAULTS for i in fault.inserts)]
    texts = {i.file: (source / "mm" / i.file).read_text() for i in inserts}
    for what in inserts:
        texts[what.file] = insert(texts[what.file], what)
    tree = CACHE / "source" / f"{source.name}-planted"
    with locked(f"source-{tree.name}"):
        if not tree.exists():
            new = tree.parent / f"{tree.name}.tmp"
            shutil.rmtree(new, ignore_errors=True)
            subprocess.run(["cp", "-al", source, new], check=True)
            new.rename(tree)
        for name, text in texts.items():
            path = tree / "mm" / name
            if path.read_text() != text:
                # It may be a link to the source's.
                path.unlink()
                path.write_text(text)
    return digest(*inserts), tree


# --- finding --------------------------------------------------------------

# What a step says: how many results were failures, passes, skips, and how many reports
# the kernel made.
GUEST = r"""
planted=/sys/module/kernel/parameters/planted
step()
{
	name=$1 number=$2 bits=$3
	shift 3
	echo "step: $name $number $bits begins"
	echo 1 >/sys/kernel/debug/clear_warn_once
	dmesg -c >/tmp/log
	echo "$bits" >$planted || exit 1
	# A fault may make a program of the others wait for ever.
	limit=40
	[ "$number" -ge 0 ] || limit=3000
	timeout -s KILL $limit "$@" >/tmp/out 2>&1
	status=$?
	echo 0 >$planted
	dmesg -c >/tmp/log
	[ $status != 137 ] || echo "not ok - it does not end" >>/tmp/out
	set -- $(grep -c '^not ok' /tmp/out) $(grep '^ok' /tmp/out | grep -vc SKIP) \
		$(grep -c '^ok.*SKIP' /tmp/out) \
		$(grep -cE 'BUG: |WARNING: |Bad (page|rss)' /tmp/log)
	grep -B 1 '^not ok' /tmp/out | grep '^#' | head -n 2
	echo "step: $name $number $bits ends $*"
}
cd /tmp
"""


class Step(NamedTuple):
    """A program that is run in a guest, with a fault or without."""
    fault: Fault
    number: int         # of FAULT.others, -1: its cell
    on: bool

    def key(self):
        bits = 1 << FAULTS.index(self.fault) if self.on else 0
        return f"{self.fault.name} {self.number} {bits}"

    def line(self):
        cell = f"race_holds --times {TIMES} -r {shlex.quote(self.fault.cell)}"
        return f"step {self.key()} {[*self.fault.others, cell][self.number]}"


def steps_of(fault):
    """First what the cells might spoil."""
    return [Step(fault, n, on) for n in [*range(len(fault.others)), -1]
            for on in (False, True)]


Counts = collections.namedtuple("Counts", "failed passed skipped reports")
CRASH = Counts(1, 0, 0, 1)


def run_steps(run, target, steps):
    """{step: Counts}"""
    of = {step.key(): step for step in steps}
    found = check.steps(
        run, target, list(of), lambda keys: GUEST + "\n".join(of[k].line() for k in keys),
        Boot("run", silence=900, deadline=4 * 3600))
    return {step: Counts(*map(int, found[key].split())) if found[key] else CRASH
            for key, step in of.items()}


def noticed(without, with_it):
    """Does a program show a fault that passes without it, or with less?"""
    return with_it.failed > without.failed or with_it.reports > without.reports


def verdict(fault, found):
    """(is it as it should be, the row of the table)"""
    off, on = (found[Step(fault, -1, on)] for on in (False, True))
    good = on.failed >= ENOUGH and off.failed == 0 and off.passed == TIMES
    rest = ", ".join(
        f"`{name.removeprefix(MATRIX)}` "
        f"{noticed(found[Step(fault, n, False)], found[Step(fault, n, True)]):d}"
        for n, name in enumerate(fault.others))
    return good, (f"| `{fault.name}` | {fault.what} | `{fault.cell}` | {on.failed} | "
                  f"{off.failed} of {off.failed + off.passed} | {rest} |")


def main(args, words):
    faults = [f for f in FAULTS if not args.args or f.name in args.args]
    unknown = set(args.args) - {f.name for f in FAULTS}
    if unknown:
        raise Usage(f"no such fault: {' '.join(sorted(unknown))}")
    run = check.Run(words, "planted", last=False)
    target = build.Target("7.3-planted")
    build.programs(target, sorted({"race_holds", *(other.split()[0] for f in faults
                                                   for other in f.others)}))
    rows, tests = [], []
    for fault in faults:
        good, row = verdict(fault, run_steps(run, target, steps_of(fault)))
        say(row)
        rows.append(row)
        tests.append((fault.name, good, "" if good else row))
    print("| fault | is | cell | found, of 100 | without it | others that notice |\n"
          "|---|---|---|---|---|---|")
    print("\n".join(rows))
    run.replace("planted", tests)
    return run.finish()
