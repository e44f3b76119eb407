#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: lint.sh
#
# All checks that need no guest: compiler and sparse warnings, checkpatch,
# kernel-doc, shellcheck, the test of the log judge, that every mutant is
# one, and the names of tests in Documentation/coverage.md.

. "$(dirname "$0")/lib.sh"

"$XM_TOP/guest/deps.sh"
cd "$XM_TOP"
failed=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# check NAME CMD...: CMD must succeed.
check()
{
	local name=$1
	shift
	if "$@" >"$tmp/out" 2>&1; then
		printf 'ok - %s\n' "$name"
	else
		printf 'not ok - %s\n' "$name"
		cat "$tmp/out"
		failed=1
	fi
}

# warnings KERNEL MAKE-ARG...: build a fresh copy, so that everything is compiled;
# any warning about our files fails. Those about the kernel's are not ours to fix.
warnings()
{
	local out=$tmp/$1 kdir rc=0
	shift

	kdir=$(guest/kernel.sh "${out##*/}" debug)
	mkdir "$out"
	cp -r Kbuild include src test_driver "$out/"
	find "$out" -name '*.o' -delete
	make -s -C "$kdir" M="$out" -j"$(nproc)" "$@" modules \
		>"$tmp/make" 2>&1 || rc=1
	sed "s|$out/||" "$tmp/make" |
		grep -E '^(src|test_driver|include/(xmirror|uapi/linux/xmirror)).*(warning|error):|^(WARNING|ERROR)|not available' \
		>"$tmp/ours" && rc=1
	if [ $rc != 0 ]; then
		cat "$tmp/make"
	fi
	return $rc
}

# style IGNORE FILE...
style()
{
	local ignore=$1
	shift

	[ $# -eq 0 ] ||
	"$src/scripts/checkpatch.pl" --no-tree --strict -q --no-summary \
		--show-types --ignore "$ignore" -f "$@"
}

documentation()
{
	python3 "$src/scripts/kernel-doc" -none -Wall "$@" >"$tmp/doc" 2>&1 ||
		{ cat "$tmp/doc"; return 1; }
	cat "$tmp/doc"
	[ ! -s "$tmp/doc" ]
}

src=$(xm_source 7.3)
list() { git ls-files -co --exclude-standard -- "$@"; }
mapfile -t kernel < <(list '*.[ch]' ':!selftests' ':!*/trace.h' \
	':!src/compat.h')
mapfile -t traces < <(list '*/trace.h')
mapfile -t programs < <(list 'selftests/*.[ch]')
mapfile -t docs < <(list 'src/*.[ch]' 'test_driver/*.[ch]' 'include/*.h')
mapfile -t scripts < <(list 'guest/*.sh' '.ci/run')

check "judge" guest/judge-test.sh
check "tests that the documents name" guest/rows.sh
check "mutants" guest/mutants.sh -n
check "shellcheck" shellcheck -S warning -x -P guest -e SC2034 "${scripts[@]}"
check "shellcheck guest/init" shellcheck -s dash guest/init
check "checkpatch" style NONE "${kernel[@]}"
# The one file whose business it is that kernels differ.
check "checkpatch, compat.h" style LINUX_VERSION_CODE,CONSTANT_COMPARISON \
	src/compat.h
# Trace events have a layout of their own, which checkpatch does not know.
check "checkpatch, trace events" style \
	OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,SPACING "${traces[@]}"
# Programs have no BIT(), fallthrough or READ_ONCE(), and the macros of the
# kselftest harness hide control flow, so that braces around one are due, or
# look like operands.
check "checkpatch, programs" style \
	BIT_MACRO,PREFER_FALLTHROUGH,VOLATILE,BRACES,SPACING,COMPLEX_MACRO,MACRO_WITH_FLOW_CONTROL,MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE \
	"${programs[@]}"
[ ${#docs[@]} -eq 0 ] || check "kernel-doc" documentation "${docs[@]}"
check "warnings" warnings 7.3 W=1
# Newer kernels need a newer sparse than Debian has.
check "sparse" warnings 6.12 C=2
exit $failed
