#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: check.sh [-t "GLOB..."] [-g FILE] KERNEL...
#
# For each KERNEL (see target.sh): builds it, the modules and the tests, and runs
# the tests in two guests beside each other, every other program in each. What is
# printed is in the order of the guests, and the last line is the total. With -g
# there is one guest, the modules count which of their lines are run, and FILE is
# where that goes, see run.sh.

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

# Builds what KERNEL needs, and runs its guests. Their numbers are in $tmp/started
# then, and in $tmp/log.NUMBER where the log of each is.
check()
{
	local kernel=$1 list tests=() pids=() n=0 i t g globs

	set +m
	xm_say "checking on $kernel"
	xm_target "$kernel" debug
	read -ra globs <<<"$glob"
	list=$("$XM_TOP/guest/programs.sh" list; "$XM_TOP/guest/hmm-tests.sh" list "$glob")
	for t in $list; do
		for g in "${globs[@]}"; do
			# shellcheck disable=SC2053 # a glob is wanted
			[[ $t == $g ]] || continue
			tests[n % guests]+="$t "
			n=$((n + 1))
			break
		done
	done
	[ $n -gt 0 ] || xm_die "no test program matches $glob"
	[[ ${tests[*]} != *hmm-tests* ]] ||
		"$XM_TOP/guest/hmm-tests.sh" "$XM_KDIR" "${XM_RUN[1]}"
	# An emulated CPU that waits for one that the other guest keeps from
	# running makes both guests slow.
	if [ ${#tests[@]} -gt 1 ] && [ "$(nproc)" -lt $((2 * ${#tests[@]})) ]; then
		export XM_THREAD=${XM_THREAD:-single}
	fi
	echo "${!tests[@]}" >"$tmp/started"
	for i in "${!tests[@]}"; do
		: >"$tmp/out.$i"
		"$XM_TOP/guest/run.sh" -L "$tmp/log.$i" \
			-n "$(basename "$kernel").$i" "${gcov[@]}" "${XM_RUN[@]}" \
			-c "${tests[i]}" "$XM_IMAGE" >"$tmp/out.$i" 2>&1 &
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
	rm -f "$tmp"/log.* "$tmp/started"
	# In a process group of its own, so that all of it can be ended, and
	# waited for, so that a signal is handled at once.
	set -m
	check "$kernel" </dev/null &
	job=$!
	set +m
	wait $job || :
	job=
	for i in $(cat "$tmp/started" 2>/dev/null || echo 0); do
		verdict=$(cat "$tmp/log.$i" 2>/dev/null || :)/verdict
		if [ ! -s "$verdict" ]; then
			failed=$((failed + 1))
			echo "failed: $kernel: the tests could not be run" \
				>>"$tmp/failures"
			continue
		fi
		dirname "$verdict" >>"$tmp/logs"
		read -r p _ f _ s _ < <(tail -n 1 "$verdict")
		sed -nE "s|^(failed\|expected failure): |\1: $kernel: |p" \
			"$verdict" >>"$tmp/failures"
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done
done
cp "$tmp/logs" "$XM_CACHE/log/last"
xm_say "took $((SECONDS / 60)) minutes"
cat "$tmp/failures"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
