#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: mutants.sh [KERNEL [NAME...]]
#	 mutants.sh -n
#
# Puts each mistake of mutants.list into a copy of the modules and runs the test
# that has to notice it, in a guest: the suite is worth what it catches. A mutant
# is caught when its test fails, or takes the guest down; the next guest then
# goes on with the rest. Without any mistake all of these tests have to pass.
#
# -n only says which of them change nothing, because the code is another by now.

. "$(dirname "$0")/lib.sh"

kernel=${1:-7.3}
shift $(($# < 1 ? $# : 1))
names=() stale=()
declare -A file program test expression
while read -r n f p t e; do
	[[ $n != '#'* && -n $n ]] || continue
	[ $# -eq 0 ] || [[ " $* " == *" $n "* ]] || continue
	names+=("$n")
	file[$n]=$f program[$n]=$p test[$n]=$t expression[$n]=$e
	! sed "$e" "$XM_TOP/$f" | cmp -s - "$XM_TOP/$f" || stale+=("$n")
done <"$XM_TOP/guest/mutants.list"
[ ${#names[@]} -gt 0 ] || xm_die "no such mutant: $*"
[ ${#stale[@]} -eq 0 ] ||
	xm_die "mutants whose expression changes nothing: ${stale[*]}"
[ "$kernel" != -n ] || exit 0

"$XM_TOP/guest/deps.sh"
kdir=$("$XM_TOP/guest/kernel.sh" "$kernel" debug)
bin=$("$XM_TOP/guest/programs.sh" "$kdir")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP

# The modules of a mutant go to the guest under names of their own, which
# insmod does not mind.
build()
{
	local name=$1 dir=$tmp/build

	mkdir -p "$dir"
	# A file that is put back has to be newer than what was built of the
	# mistake in it, else that stays: hence by contents and without times.
	rsync -rc "$XM_TOP"/{Kbuild,include,src,test_driver} "$dir/"
	[ "$name" = none ] ||
		sed -i "${expression[$name]}" "$dir/${file[$name]}"
	make -s -C "$kdir" M="$dir" -j"$(nproc)" modules >"$tmp/make" 2>&1 || {
		cat "$tmp/make" >&2
		xm_die "$name does not build"
	}
	cp "$dir/xmirror.ko" "$tmp/$name.ko"
	cp "$dir/xmirror_test.ko" "$tmp/$name-test.ko"
}

xm_say "building ${#names[@]} mutants"
modules=()
for n in none "${names[@]}"; do
	build "$n"
	modules+=(-m "$tmp/$n.ko" -m "$tmp/$n-test.ko")
done

# What the guest does: say what each test exits with.
script()
{
	local n

	for n; do
		cat <<-SH
		# With the one before still loaded nothing would be tried.
		cd /lib/modules
		# For tests that load the modules again
		ln -sf ${n%%:*}.ko xmirror.ko
		ln -sf ${n%%:*}-test.ko xmirror_test.ko
		insmod xmirror.ko &&
			insmod xmirror_test.ko \$(cat /xm/params.xmirror_test) || exit 1
		echo "mutant $n begins"
		timeout -s KILL 120 /xm/bin/${program[${n##*:}]} -r ${test[${n##*:}]} >/tmp/out 2>&1
		rc=\$?
		grep -q '^1\.\.1' /tmp/out || rc=none
		echo "mutant $n exits \$rc"
		rmmod xmirror_test; rmmod xmirror
		SH
	done
}

# Run until each has a verdict: a guest may die of a mutant.
verdicts=$tmp/verdicts
: >"$verdicts"
todo=("${names[@]/#/none:}" "${names[@]}")
while [ ${#todo[@]} -gt 0 ]; do
	"$XM_TOP/guest/run.sh" -n mutants -b "$bin" -N "${modules[@]}" \
		-d 1800 -r "$(script "${todo[@]}")" \
		"$kdir/arch/x86/boot/bzImage" >"$tmp/log" 2>&1 || :
	tr -d '\r' <"$tmp/log" | sed -n 's/^mutant \(.*\) exits \(.*\)/\1 \2/p' \
		>>"$verdicts"
	# The one that has begun and not ended took the guest with it.
	tr -d '\r' <"$tmp/log" | sed -n 's/^mutant \(.*\) begins/\1/p' |
		tail -n 1 | while read -r n; do
		grep -q "^$n " "$verdicts" || echo "$n crash" >>"$verdicts"
	done
	rest=()
	for n in "${todo[@]}"; do
		grep -q "^$n " "$verdicts" || rest+=("$n")
	done
	[ ${#rest[@]} -lt ${#todo[@]} ] || {
		cat "$tmp/log" >&2
		xm_die "the guest got nowhere"
	}
	todo=("${rest[@]}")
done

passed=0 failed=0
for n in "${names[@]}"; do
	sound=$(sed -n "s/^none:$n //p" "$verdicts")
	mutant=$(sed -n "s/^$n //p" "$verdicts")
	if [ "$sound" != 0 ]; then
		verdict="BROKEN, fails without the mistake, too ($sound)"
	elif [ "$mutant" = 0 ] || [ "$mutant" = none ]; then
		verdict="MISSED"
	else
		verdict="caught ($mutant)"
	fi
	case $verdict in
	caught*) passed=$((passed + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
	printf '%-24s %-40s %s\n' "$n" "${program[$n]}: ${test[$n]}" "$verdict"
done
printf '%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
