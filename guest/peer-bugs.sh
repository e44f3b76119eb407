#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: peer-bugs.sh [-t GLOB] KERNEL...
#
# Runs selftests/intree/test_hmm_bugs.c on xmirror and on the kernel's own test device, that
# one in a guest for each test because it may not survive it, and prints what
# came of it:
#   ok		the test passed
#   wrong	it failed
#   warning	it passed, but the kernel complained
#   hang	a call did not end
#   crash	the kernel did

. "$(dirname "$0")/lib.sh"
. "$XM_TOP/guest/target.sh"

glob='*'
while getopts t: opt; do
	case $opt in
	t) glob=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || xm_die "usage: peer-bugs.sh [-t GLOB] KERNEL..."
"$XM_TOP/guest/deps.sh"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The tests with the number of the bug, from the comments of the source.
tests()
{
	sed -nE 's/^\/\* Bug ([0-9]+):.*/bug \1/p
		s/^TEST_F\(peer_bugs, ([a-z_]+)\).*/test \1/p' \
		"$XM_TOP/selftests/intree/test_hmm_bugs.c" |
		while read -r what value; do
			# shellcheck disable=SC2053 # a glob is wanted
			case $what in
			bug) bug=$value ;;
			test) [[ $value != $glob ]] || echo "$bug $value" ;;
			esac
		done
}

crash='Oops|BUG:|KASAN:|kernel BUG|protection fault|Kernel panic'

# boot OPTION...: a guest, whose log directory is then in $log, if it has got that far.
boot()
{
	rm -f "$tmp/log"
	"$XM_TOP/guest/run.sh" "${XM_RUN[@]}" -L "$tmp/log" "$@" "$XM_IMAGE" \
		</dev/null >"$tmp/out" 2>&1 || :
	log=$(cat "$tmp/log" 2>/dev/null) || log=
}

# peer TEST: what came of it on the kernel's own test device.
peer()
{
	boot -N -l 120 -d 240 \
		-r "insmod /lib/modules/test_hmm.ko \$(cat /xm/params.xmirror_test) &&
			intree_test_hmm_bugs -t $1"
	if [ ! -e "$log/end" ]; then
		echo "not run"
	elif grep -qE "$crash" "$log/console.log"; then
		echo crash
	elif grep -q 'does not end' "$log/result.log" ||
			! grep -q '^# exit: run' "$log/result.log"; then
		echo hang
	elif grep -q '# SKIP' "$log/result.log"; then
		echo skipped
	elif ! grep -q '^# exit: run 0' "$log/result.log"; then
		echo wrong
	elif grep -q 'WARNING:' "$log/console.log"; then
		echo warning
	else
		echo ok
	fi
}

# ours TEST: what the run of all of them on xmirror says of it.
ours()
{
	local line

	line=$(grep -E "^(not )?ok [0-9]+ peer_bugs\.$1( |\$)" "$tmp/ours") || line=
	case $line in
	*'# SKIP'*) echo skipped ;;
	ok*) echo ok ;;
	not*) echo wrong ;;
	*) echo crash ;;
	esac
}

rc=0
for kernel; do
	xm_target "$kernel" debug
	[[ ${XM_RUN[*]} == */test_hmm.ko* ]] ||
		xm_die "$kernel has no lib/test_hmm.ko: CONFIG_TEST_HMM=m"
	XM_RUN+=(-n "$(basename "$kernel")-peer")
	echo intree_test_hmm_bugs >"$tmp/queue"
	boot -c "$tmp/queue"
	[ -n "$log" ] || { cat "$tmp/out" >&2; xm_die "the guest did not start"; }
	cp "$log/result.log" "$tmp/ours"
	tail -n 1 "$tmp/out" | grep -q ' 0 failed' || rc=1
	printf '\n%s\n%-4s %-42s %-8s %s\n' "Linux $(basename "$kernel")" bug \
		test in-tree xmirror
	while read -r bug test; do
		printf '%-4s %-42s %-8s %s\n' "$bug" "$test" "$(peer "$test")" \
			"$(ours "$test")"
	done < <(tests)
done
exit $rc
