#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# usage: KSELFTEST=DIR test.sh
#
# Whether the harness and the helpers in lib/test.h end each test of cases.c, and of
# shrink.c, which is about lib/shrink.h, as the first word of its name says. Needs no
# guest, and a machine without the modules.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if [ -e /dev/xmirror0 ]; then
	echo "this machine has the modules loaded: some of the cases are about that"
	exit 4
fi
# program NAME: of NAME.c and all of lib/
program()
{
	${CC:-gcc} -std=gnu11 -Wall -Wextra -pthread -D_GNU_SOURCE \
		-I"$here/../lib" -I"$here/../../include/uapi" -isystem "$KSELFTEST" \
		-o "$tmp/$1" "$here/$1.c" "$here"/../lib/*.c
}

program cases
program shrink
printf old >"$tmp/setting"
# The tests fail on purpose.
XM_SELFTEST_FILE=$tmp/setting "$tmp/cases" >"$tmp/out" 2>&1 || :
[ "$(cat "$tmp/setting")" = old ] || {
	echo "a setting is not restored at the end of the program"
	exit 1
}
# ends FILE: each test of this output ends as the first word of its name says.
ends()
{
	awk '
/^(not )?ok [0-9]/ {
	end = "pass"
	if (/^not/)
		end = "fail"
	else if (match($0, / # (XFAIL|XPASS|SKIP) /))
		end = tolower(substr($0, RSTART + 3, RLENGTH - 4))
	name = $1 == "not" ? $4 : $3
	want = name
	sub(/^global\./, "", want)
	sub(/_.*/, "", want)
	seen++
	if (end != want) {
		print name " ends as " end
		wrong = 1
	}
}
/^1\.\./ { plan = substr($0, 4) + 0 }
END {
	if (!seen || seen != plan) {
		print "planned " plan " tests, saw " seen + 0
		wrong = 1
	}
	exit wrong
}' "$1" || { cat "$1"; exit 1; }
}

ends "$tmp/out"
"$tmp/shrink" >"$tmp/out.shrink" 2>&1 || :
ends "$tmp/out.shrink"
