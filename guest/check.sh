#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: check.sh [-t "GLOB..."] [-g FILE] KERNEL...
#
# For each KERNEL (see target.sh): builds it, the modules and the tests, and runs
# the tests in a guest. A guest keeps little more than one CPU busy, so two run at
# a time, and beside them the next kernel is built. What is printed is in the order
# of the kernels, and the last line is the total. With -g the modules count which
# of their lines are run, and FILE is where that goes, see run.sh.

. "$(dirname "$0")/lib.sh"
. "$XM_TOP/guest/target.sh"

glob='*'
gcov=()
while getopts t:g: opt; do
	case $opt in
	t) glob=$OPTARG ;;
	g) gcov=(-g "$OPTARG") XM_MAKE=(GCOV_PROFILE=y) ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || xm_die "usage: check.sh [-t GLOB] [-g FILE] KERNEL..."

"$XM_TOP/guest/deps.sh"
tmp=$(mktemp -d)
jobs=()
cleanup()
{
	local pid

	for pid in "${jobs[@]}"; do
		kill -- "-$pid" 2>/dev/null && wait "$pid" || :
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# after NUMBER WHAT: wait until that job has released its lock on WHAT.
after()
{
	[ ! -e "$tmp/$1.$2" ] || flock "$tmp/$1.$2" true
}

# The job of the kernel of that number. It has two locks, taken before it was
# started: "kernel" for as long as its kernel is not built, and "guest" to its end.
job()
{
	local n=$1 kernel=$2 list tests='' t g globs

	xm_say "checking on $kernel"
	after $((n - 1)) kernel
	case $kernel in
	*/*|stock*|dkms*) ;;
	*) "$XM_TOP/guest/kernel.sh" "$kernel" debug >/dev/null ;;
	esac
	exec 8>&-
	xm_target "$kernel" debug
	read -ra globs <<<"$glob"
	list=$("$XM_TOP/guest/programs.sh" list; "$XM_TOP/guest/hmm-tests.sh" list "$glob")
	for t in $list; do
		for g in "${globs[@]}"; do
			# shellcheck disable=SC2053 # a glob is wanted
			[[ $t != $g ]] || tests+="$t "
		done
	done
	[ -n "$tests" ] || xm_die "no test program matches $glob"
	[[ $tests != *hmm-tests* ]] ||
		"$XM_TOP/guest/hmm-tests.sh" "$XM_KDIR" "${XM_RUN[1]}"
	after $((n - 2)) guest
	exec "$XM_TOP/guest/run.sh" -L "$tmp/$n.log" -n "$(basename "$kernel")" \
		"${gcov[@]}" "${XM_RUN[@]}" -c "$tests" "$XM_IMAGE"
}

# Each in a process group of its own, so that all of it can be ended.
n=0
set -m
for kernel; do
	exec 8>"$tmp/$n.kernel" 9>"$tmp/$n.guest"
	flock 8
	flock 9
	: >"$tmp/$n.out"
	job $n "$kernel" </dev/null >"$tmp/$n.out" 2>&1 &
	jobs+=($!)
	n=$((n + 1))
done
set +m
exec 8>&- 9>&-

passed=0 failed=0 skipped=0 n=0
: >"$tmp/failures"
for kernel; do
	# In the background, so that a signal is handled at once
	tail -n +1 -f --pid="${jobs[n]}" "$tmp/$n.out" &
	wait $! || :
	verdict=
	[ ! -e "$tmp/$n.log" ] || verdict=$(cat "$tmp/$n.log")/verdict
	if [ -s "$verdict" ]; then
		read -r p _ f _ s _ < <(tail -n 1 "$verdict")
		sed -nE "s|^(failed\|expected failure): |\1: $kernel: |p" \
			"$verdict" >>"$tmp/failures"
	else
		p=0 f=1 s=0
		echo "failed: $kernel: the tests could not be run" \
			>>"$tmp/failures"
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	n=$((n + 1))
done
xm_say "took $((SECONDS / 60)) minutes"
cat "$tmp/failures"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
