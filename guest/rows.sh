#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: rows.sh
#
# Documentation/coverage.md names tests as `PROGRAM: GLOB`. Each has to match a
# test of that program, so that a reader finds it.

. "$(dirname "$0")/lib.sh"

bin=$("$XM_TOP/guest/programs.sh" "$XM_CACHE")

# names PROGRAM: its tests, as in its results. The harness lists, per fixture, the
# variants and the tests in columns beside each other.
names()
{
	{ "$bin/$1" -l 2>&1 || :; } | awk '
	function out(    i, j) {
		for (j = 1; j <= nt; j++) {
			if (!nv)
				print fixture "." test[j]
			for (i = 1; i <= nv; i++)
				print fixture "." variant[i] "." test[j]
		}
		nv = nt = 0
	}
	/^# FIXTURE/ || /^---/ { next }
	# The race matrix lists its cells, one in a line.
	/^[a-z0-9_]+\.[^ ]+$/ { print; next }
	{
		f = substr($0, 1, 20); v = substr($0, 22, 25); t = substr($0, 48)
		gsub(/ /, "", f); gsub(/ /, "", v); gsub(/ /, "", t)
		if (f != "") {
			out()
			fixture = f
		}
		if (v != "")
			variant[++nv] = v
		if (t != "")
			test[++nt] = t
	}
	END { out() }'
}

declare -A list
failed=0 checked=0
while IFS= read -r name; do
	program=${name%%: *} glob=${name#*: } found=
	if [ ! -x "$bin/$program" ]; then
		echo "$name: no such program"
		failed=1
		continue
	fi
	[ -n "${list[$program]:-}" ] || list[$program]=$(names "$program")
	for test in ${list[$program]}; do
		# shellcheck disable=SC2053 # a glob is wanted
		[[ $test != $glob ]] || found=1
	done
	if [ -z "$found" ]; then
		echo "$name: no such test"
		failed=1
	fi
	checked=$((checked + 1))
done < <(grep -o '`[a-z0-9_]*: [^`]*`' "$XM_TOP/Documentation/coverage.md" |
	tr -d '`' | sort -u)
[ $checked -gt 0 ] || failed=1
exit $failed
