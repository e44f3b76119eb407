#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: judge-test.sh
#
# Feeds judge.sh logs of runs that went wrong in every way it must notice, and
# of some that did not.

set -euo pipefail
judge=$(dirname "$0")/judge.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0 bad=0

good_result='# test: one
TAP version 13
1..2
ok 1 first
ok 2 second # SKIP not here
# exit: one 0
# xmirror: done'
good_console='[    0.000000] Linux version 7.3.4
[    1.000000] xmirror-test: begin one
[    2.000000] xmirror-test: end one 0'

# expect TOTAL WHAT: what judge.sh has to say about $result, $console and $end.
expect()
{
	local out status=0 want=0

	printf '%s\n' "$result" >"$dir/result.log"
	printf '%s\n' "$console" >"$dir/console.log"
	printf '%s\n' "$end" >"$dir/end"
	out=$("$judge" "$dir") || status=$?
	[[ $1 == *" 0 failed"* ]] || want=1
	count=$((count + 1))
	if [ "$(tail -n 1 <<<"$out")" != "$1" ] || [ "$status" != "$want" ]; then
		printf 'judge: %s: expected "%s", got (status %s):\n%s\n' \
			"$2" "$1" "$status" "$out" >&2
		bad=$((bad + 1))
	fi
	start
}

start()
{
	result=$good_result
	console=$good_console
	end=$'mode check\nqemu 0\ndeadline 100'
}

start
expect "1 passed, 0 failed, 1 skipped" "a good run"

# The kernel's ways of complaining.
while read -r line; do
	console+=$'\n'"[    2.500000] $line"
	expect "1 passed, 1 failed, 1 skipped" "$line"
done <<'LINES'
BUG: KASAN: slab-use-after-free in xm_fault+0x12/0x34 [xmirror]
BUG: unable to handle page fault for address: ffff888100000000
BUG: Bad rss-counter state mm:000000001234 type:MM_ANONPAGES val:3
BUG: Bad page state in process t1  pfn:12345
BUG: Bad page map in process t1  pte:800000 pmd:123
BUG: sleeping function called from invalid context at mm/x.c:12
BUG: scheduling while atomic: t1/123/0x00000002
BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!
WARNING: CPU: 0 PID: 12 at mm/rmap.c:100 folio_x+0x1/0x2
WARNING: mm/rmap.c:100 at folio_x+0x1/0x2, CPU#0: t1/12
WARNING: possible circular locking dependency detected
WARNING: possible recursive locking detected
WARNING: inconsistent lock state
WARNING: suspicious RCU usage
WARNING: bad unlock balance detected!
INFO: possible irq lock inversion dependency detected
INFO: trying to register non-static key.
INFO: task t1:123 blocked for more than 120 seconds.
INFO: rcu_preempt detected stalls on CPUs/tasks: { 0 }
rcu: INFO: rcu_preempt self-detected stall on CPU
watchdog: BUG: soft lockup - CPU#0 stuck for 61s! [t1:12]
kernel BUG at mm/memory.c:100!
Oops: general protection fault, probably for non-canonical address 0xdead: 0000
general protection fault, probably for non-canonical address 0xdead: 0000
Kernel panic - not syncing: Fatal exception
page dumped because: VM_WARN_ON_FOLIO(1)
list_add corruption. prev->next should be next (1), but was 2.
refcount_t: underflow; use-after-free.
kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
unreferenced object 0xffff888100000000 (size 64):
UBSAN: array-index-out-of-bounds in src/fault.c:12:3
ODEBUG: free active (active state 0) object: 1 object type: timer_list
EXT4-fs error (device vdb): ext4_lookup:1: inode #2: comm t1
Call Trace:
LINES

# One report is counted once, a later one again, also with callers shown.
console+='
[    2.500000][   T12] BUG: KASAN: slab-use-after-free in x
[    2.500100][   T12] Call Trace:
[    2.600000][   T12] Oops: 0000 [#1]
[    9.000000][   T12] WARNING: CPU: 0 PID: 12 at x'
expect "1 passed, 2 failed, 1 skipped" "two reports"

# Harmless dumps.
console+='
[    2.500000] FAULT_FLAG_ALLOW_RETRY missing 61
[    2.500001] CPU: 0 PID: 12 Comm: t1
[    2.500002] Call Trace:
[    4.000000] FAULT_INJECTION: forcing a failure.
[    4.000001] Call Trace:
[    6.000000] traps: one[12] general protection fault ip:401000 sp:7ffe error:0 in one'
expect "1 passed, 0 failed, 1 skipped" "harmless dumps"
console+='
[    2.500000] FAULT_FLAG_ALLOW_RETRY missing 61
[    2.500002] Call Trace:
[    2.500003] WARNING: CPU: 0 PID: 12 at x'
expect "1 passed, 1 failed, 1 skipped" "a report next to a harmless dump"

# A report that the test announced, to its end, and one that it did not.
announced()
{
	console=${console/$'\n[    2.000000]'/"
[    1.100000] xmirror-test: expect $1
[    1.200000] WARNING: CPU: 0 PID: 12 at __page_table_check_ptes_set+0x1
[    1.900000] Call Trace:
[    2.900000] ---[ end trace 0000000000000000 ]---
$2[    3.000000]"}
}
announced "at __page_table_check" ""
expect "2 passed, 0 failed, 1 skipped" "an announced report"
announced "at __page_table_check" "[    2.950000] WARNING: CPU: 0 PID: 12 at x
"
expect "2 passed, 1 failed, 1 skipped" "a report after an announced one"
announced "at something else" ""
expect "1 passed, 1 failed, 1 skipped" "another report than the announced one"

announced "at __page_table_check" "[    2.950000] BUG: KASAN: use-after-free in x
"
expect "2 passed, 1 failed, 1 skipped" "KASAN after an announced report"
announced "at __page_table_check" ""
console=${console/WARNING:/BUG: KASAN:}
expect "1 passed, 1 failed, 1 skipped" "KASAN is never announced"
console=${console/$'\n[    2.000000]'/"
[    1.100000] xmirror-test: expect page dumped
[    1.200000] page dumped because: x
[    2.000000]"}$'\n[    4.000000] xmirror-test: begin two\n[    5.000000] WARNING: x'
expect "2 passed, 1 failed, 1 skipped" "an announced report without an end"

# No kernel log
console=
expect "1 passed, 1 failed, 1 skipped" "an empty kernel log"
console='[    0.000000] Linux version 7.3.4'
expect "1 passed, 1 failed, 1 skipped" "a kernel log without our marks"

# Test results.
result=${result/ok 1/not ok 1}
expect "0 passed, 1 failed, 1 skipped" "a failed test"
result=${result/'exit: one 0'/'exit: one 1'}
expect "1 passed, 1 failed, 1 skipped" "status 1 without a failed test"
result=${result/'exit: one 0'/'exit: one 137'}
expect "1 passed, 1 failed, 1 skipped" "killed after the last test"
result=${result/1..2/1..3}
expect "1 passed, 1 failed, 1 skipped" "fewer results than planned"
result=${result/1..2/1..1}
expect "1 passed, 1 failed, 1 skipped" "more results than planned"
result=${result/1..2/}
expect "1 passed, 1 failed, 1 skipped" "no plan"
result=$'# test: one\n# exit: one 0\n# xmirror: done'
expect "0 passed, 1 failed, 0 skipped" "a program that says nothing"
result=$'# test: one\nTAP version 13\n1..0 # SKIP no device\n# exit: one 4\n# xmirror: done'
expect "0 passed, 0 failed, 1 skipped" "a program that skips all"
result=${result/ok 1 first/ok 1 first # XFAIL known}
expect "1 passed, 0 failed, 1 skipped" "an expected failure"
result+=$'\n# left processes behind: one'
expect "1 passed, 1 failed, 1 skipped" "left processes"
result=$'# cannot load the modules\n# xmirror: done'
expect "0 passed, 1 failed, 0 skipped" "modules do not load"

# Ways to end.
result=${result%$'\n'*}
expect "1 passed, 1 failed, 1 skipped" "a crash after the tests"
result=${result%'# exit'*}
expect "1 passed, 2 failed, 1 skipped" "a crash within a test"
end=$'mode check\nqemu 137\ndeadline 100'
expect "1 passed, 1 failed, 1 skipped" "a hang"
end=$'mode check\nqemu 1\ndeadline 100'
expect "1 passed, 1 failed, 1 skipped" "QEMU failed"
end=''
expect "1 passed, 1 failed, 1 skipped" "no record of the end"
result=
expect "0 passed, 1 failed, 0 skipped" "no output"
result='# xmirror: done'
expect "0 passed, 1 failed, 0 skipped" "no test run"

# A single command.
end=$'mode run\nqemu 0\ndeadline 100'
result=$'ok\n1..7\n# exit: run 0\n# xmirror: done'
expect "1 passed, 0 failed, 0 skipped" "a command"
end=$'mode run\nqemu 0\ndeadline 100'
result=$'# exit: run 3\n# xmirror: done'
expect "0 passed, 1 failed, 0 skipped" "a command that fails"
end=$'mode run\nqemu 0\ndeadline 100'
result=$'hello'
expect "0 passed, 2 failed, 0 skipped" "a command that crashes the guest"

[ $bad -eq 0 ] || exit 1
printf 'judge: %d cases as expected\n' $count
