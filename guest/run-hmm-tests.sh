#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# usage, in the guest, by one of these names:
#
#   hmm-tests			the hmm-tests of the running kernel
#   hmm-tests-7.3		those of 7.3, on an older kernel
#   hmm-tests-bench-private	the benchmark that 7.3's have among them: it moves
#   hmm-tests-bench-coherent	13 GB, so that two guests share it
#
# What the running kernel cannot do whatever the driver does fails as a TODO with
# the reason. Any other failure is one of ours.

bench=benchmark_thp_migration
release=$(uname -r)
version=$(printf '%s' "$release" | cut -d. -f1,2 | tr -dc '0-9.')

# before VERSION: is this kernel older?
before()
{
	[ "${version%.*}" -lt "${1%.*}" ] ||
		{ [ "${version%.*}" -eq "${1%.*}" ] &&
		  [ "${version#*.}" -lt "${1#*.}" ]; }
}

skip()
{
	echo "1..0 # SKIP $1"
	exit 4
}

# It comes with CONFIG_DEVICE_PRIVATE.
has_private()
{
	grep -q ' make_device_exclusive' /proc/kallsyms
}

# A line for each test of the program $1 that cannot pass: its name, and why.
todo()
{
	if ! has_private; then
		for test in hmm.*.exclusive hmm.*.exclusive_mprotect \
				hmm.*.exclusive_cow \
				hmm.*_private.anon_write_child \
				hmm.*_private.migrate \
				hmm.*_private.migrate_file_private \
				hmm.*_private.migrate_fault \
				hmm.*_private.migrate_release \
				hmm.*_private.migrate_multiple \
				hmm.*_private.migrate_anon_huge_* \
				hmm.*_private.migrate_partial_unmap_fault \
				hmm.*_private.migrate_remap_fault \
				hmm.*_private.benchmark_thp_migration \
				hmm.*_private.hmm_gup_test \
				hmm.*_private.hmm_cow_in_device \
				hmm2.*_private.*; do
			echo "$test CONFIG_DEVICE_PRIVATE is off"
		done
	fi
	[ "${1%-7.3}" != "$1" ] && before 6.19 || return 0
	echo "hmm.*_private.migrate_anon_huge_fault no large folios of private memory before 6.19"
	echo "hmm.*.migrate_remap_fault no THP that is mapped by PTEs migrates to a device before 6.19"
}

name=${0##*/}
bin=${0%/*}/hmm-tests.bin
[ -e /dev/hmm_dmirror0 ] || skip "no /dev/hmm_dmirror0"
case $name in
hmm-tests)
	program=$bin-$version
	[ -e "$program" ] || program=$bin-7.3
	# Their teardown fails again and again after a test that failed.
	has_private || [ "$program" = "$bin-7.3" ] ||
		skip "CONFIG_DEVICE_PRIVATE is off; hmm-tests-7.3 has the rest"
	set -- -T $bench
	;;
hmm-tests-7.3)
	program=$bin-7.3
	[ -e "$bin-$version" ] && [ "$version" != 7.3 ] ||
		skip "these are the kernel's own"
	set -- -T $bench
	if before 6.3; then
		# 0x100 is another flag there, at which the kernel warns.
		echo "# hmm_gup_test: not run, FOLL_LONGTERM has another number before 6.3"
		set -- "$@" -T hmm_gup_test
	fi
	;;
hmm-tests-bench-private)
	program=$bin-7.3
	set -- -V hmm_device_coherent -t $bench
	;;
hmm-tests-bench-coherent)
	program=$bin-7.3
	set -- -V hmm_device_private -t $bench
	;;
*)
	exit 2
	;;
esac
# The harnesses of the older ones have no options, and no benchmark to leave out.
[ "${program%-7.3}" != "$program" ] || set --
set -f
todo "$program" >/tmp/hmm-tests.todo

{
	"$program" "$@"
	echo "status $?"
} 2>&1 | awk '
BEGIN {
	while ((getline line < "/tmp/hmm-tests.todo") > 0) {
		name = line
		sub(/ .*/, "", name)
		sub(/^[^ ]* /, "", line)
		gsub(/\./, "\\.", name)
		gsub(/\*/, "[a-z0-9_]*", name)
		why["^not ok [0-9]+ " name "$"] = line
	}
}
/^status [0-9]+$/ {
	status = $2
	next
}
# An assertion in a loop says the same again and again.
/^# .*:Expected / {
	if (++said > 5)
		next
}
/^(not )?ok / {
	said = 0
	for (pattern in why)
		if ($0 ~ pattern && !/# TODO/)
			$0 = $0 " # TODO " why[pattern]
}
{
	print
	fflush()
}
END {
	exit status
}'
