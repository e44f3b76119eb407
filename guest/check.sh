#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: check.sh [-t "GLOB..."] [-g FILE] KERNEL...
#
# For each KERNEL in turn (see target.sh): builds it, the modules and the tests,
# and runs the tests in a guest, while the next one is built at low priority. The
# last line is the total. With -g the modules count which of their lines are run,
# and FILE is where that goes, see run.sh.

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
child=
ahead=
cleanup()
{
	local pid

	for pid in $child $ahead; do
		kill -- "-$pid" 2>/dev/null || :
		wait "$pid" || :
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Run in the background and wait, so that a signal is handled at once, and in a
# process group of its own, so that all of it can be ended. Ignores the outcome.
guarded()
{
	set -m
	"$@" </dev/null &
	child=$!
	set +m
	wait "$child" || :
	child=
}

# Begin to build a kernel. If that fails, so will its turn, which says why.
build_ahead()
{
	case $1 in
	''|*/*|stock*|dkms*) return ;;
	esac
	set -m
	nice -n 19 "$XM_TOP/guest/kernel.sh" "$1" debug </dev/null \
		>/dev/null 2>&1 &
	ahead=$!
	set +m
}

one()
{
	local kernel=$1 list tests='' t g globs

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
	exec "$XM_TOP/guest/run.sh" -L "$tmp/log" -n "$(basename "$kernel")" \
		"${gcov[@]}" "${XM_RUN[@]}" -c "$tests" "$XM_IMAGE"
}

# The kernel first, since its successor's is to wait for it.
prepare()
{
	case $1 in
	*/*|stock*|dkms*) ;;
	*) "$XM_TOP/guest/kernel.sh" "$1" debug >/dev/null ;;
	esac
}

passed=0 failed=0 skipped=0
: >"$tmp/failures"
while [ $# -gt 0 ]; do
	kernel=$1
	shift
	xm_say "checking on $kernel"
	rm -f "$tmp/log"
	guarded prepare "$kernel"
	build_ahead "${1:-}"
	guarded one "$kernel"
	verdict=
	[ ! -e "$tmp/log" ] || verdict=$(cat "$tmp/log")/verdict
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
done
cat "$tmp/failures"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
