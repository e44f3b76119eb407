#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: programs.sh KDIR|list
#
# Builds the test, demo and bench programs, statically, and prints the directory
# they are in; or prints the names of the test programs.

. "$(dirname "$0")/lib.sh"

if [ "$1" = list ]; then
	make -s -C "$XM_TOP/selftests" list
	exit
fi

# The harness comes from the user's own tree if that has it.
kselftest=
for dir in "$1/source" "$1"; do
	[ ! -e "$dir/tools/testing/selftests/kselftest_harness.h" ] ||
		[[ $1 == "$XM_CACHE"/* ]] ||
		kselftest=$(cd "$dir" && pwd)/tools/testing/selftests
done
[ -n "$kselftest" ] ||
	kselftest=$(xm_source 7.3)/tools/testing/selftests
out=$XM_CACHE/build/selftests-$(sha256sum <<<"$XM_TOP $kselftest" | cut -c1-8)
mkdir -p "$out"
xm_locked "$(basename "$out")" make -s -C "$XM_TOP/selftests" \
	-j"$(nproc)" OUT="$out" KSELFTEST="$kselftest" \
	HDRS="$XM_TOP/include/uapi" all >&2
printf '%s\n' "$out"
