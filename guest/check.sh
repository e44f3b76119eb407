#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: check.sh [-t "GLOB..."] [-g FILE] KERNEL...
#
# For each KERNEL (see target.sh): builds it, the modules and the tests, and runs
# the tests in two guests beside each other; whichever is done with a program takes
# the next. What is printed is in the order of the guests, and the last line is the
# total. With -g there is one guest, the modules count which of their lines are run,
# and FILE is where that goes, see run.sh.

. "$(dirname "$0")/lib.sh"
. "$XM_TOP/guest/target.sh"

glob='*'
guests=2
gcov=()
while getopts t:g: opt; do
	case $opt in
	t) glob=$OPTARG ;;
	g) gcov=(-g "$OPTARG") guests=1 XM_MAKE=(GCOV_PROFILE=y) ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || xm_die "usage: check.sh [-t GLOB] [-g FILE] KERNEL..."

"$XM_TOP/guest/deps.sh"
tmp=$(mktemp -d)
job=
cleanup()
{
	if [ -n "$job" ]; then
		{ kill -- "-$job" && wait "$job"; } 2>/dev/null || :
	fi
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Builds what KERNEL needs, and runs its guests. In $tmp/log.NUMBER is where the log
# of each is then, and in $tmp/queue what none of them has taken.
check()
{
	local kernel=$1 list pids=() n i t g globs wanted
	local -A matched=()

	set +m
	xm_say "checking on $kernel"
	xm_target "$kernel" debug
	read -ra globs <<<"$glob"
	# The longest come first, so that no guest is left with one at the end.
	list=$({
		"$XM_TOP/guest/hmm-tests.sh" list "$kernel" "$glob"
		echo race_matrix
		echo abuse_lifecycle
		"$XM_TOP/guest/programs.sh" list
	} | awk '!seen[$0]++')
	for t in $list; do
		wanted=
		for g in "${globs[@]}"; do
			# shellcheck disable=SC2053 # a glob is wanted
			[[ $t == $g ]] || continue
			wanted=1 matched[$g]=1
		done
		[ -z "$wanted" ] || echo "$t"
	done >"$tmp/queue"
	for g in "${globs[@]}"; do
		[ -n "${matched[$g]:-}" ] ||
			xm_die "no test program matches '$g'"
	done
	n=$(wc -l <"$tmp/queue")
	! grep -q hmm-tests "$tmp/queue" ||
		"$XM_TOP/guest/hmm-tests.sh" "$XM_KDIR" "${XM_RUN[1]}"
	[ "$n" -ge $guests ] || guests=$n
	# An emulated CPU that waits for one that the other guest keeps from
	# running makes both guests slow.
	if [ "$guests" -gt 1 ] && [ "$(nproc)" -lt $((2 * guests)) ]; then
		export XM_THREAD=${XM_THREAD:-single}
	fi
	for ((i = 0; i < guests; i++)); do
		: >"$tmp/out.$i"
		: >"$tmp/log.$i"
		"$XM_TOP/guest/run.sh" -L "$tmp/log.$i" \
			-n "$(basename "$kernel").$i" "${gcov[@]}" "${XM_RUN[@]}" \
			-c "$tmp/queue" "$XM_IMAGE" >"$tmp/out.$i" 2>&1 &
		pids+=($!)
	done
	for i in "${!pids[@]}"; do
		tail -n +1 -f --pid="${pids[i]}" "$tmp/out.$i"
	done
}

passed=0 failed=0 skipped=0
: >"$tmp/failures"
: >"$tmp/logs"
for kernel; do
	rm -f "$tmp"/log.*
	: >"$tmp/log.0"
	: >"$tmp/queue"
	# In a process group of its own, so that all of it can be ended, and
	# waited for, so that a signal is handled at once.
	set -m
	check "$kernel" </dev/null &
	job=$!
	set +m
	wait $job || :
	job=
	for log in "$tmp"/log.*; do
		verdict=$(cat "$log")/verdict
		if [ ! -s "$verdict" ]; then
			failed=$((failed + 1))
			echo "failed: $kernel: the tests could not be run" |
				tee -a "$tmp/failures" >>"$tmp/logs"
			continue
		fi
		dirname "$verdict" >>"$tmp/logs"
		read -r p _ f _ s _ < <(tail -n 1 "$verdict")
		sed -nE "s|^(failed\|expected failure): |\1: $kernel: |p" \
			"$verdict" >>"$tmp/failures"
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done
	# No guest has lived long enough.
	while read -r t; do
		failed=$((failed + 1))
		echo "failed: $kernel: $t: was not run" |
			tee -a "$tmp/failures" >>"$tmp/logs"
	done <"$tmp/queue"
done
# For junit.sh: the logs, and failures that are in none.
mkdir -p "$XM_CACHE/log"
cp "$tmp/logs" "$XM_CACHE/log/last"
xm_say "took $((SECONDS / 60)) minutes"
cat "$tmp/failures"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
