#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: lint.sh
#
# All checks that need no guest: compiler and sparse warnings, checkpatch,
# kernel-doc, shellcheck, the tests of the runner and of its judge, that every mutant
# is one, and the documents that are made of the source.

. "$(dirname "$0")/lib.sh"

"$XM_SH/deps.sh" lint
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

# built KERNEL ARG...: build a fresh copy for a kernel of ours, so that everything is
# compiled; any warning about our files fails. Those about the kernel's are not ours to
# fix. Without the kernel, modpost knows no symbol of it.
built()
{
	local out=$tmp/$1 kdir

	kdir=$(runner/sh/kernel.sh -p "$1")
	xm_kernel "$1"
	shift
	xm_copy_sources "$out"
	# shellcheck disable=SC2086 # words
	xm_warnings "$out" '^ERROR|not available' make -s -C "$kdir" M="$out" \
		-j"$(nproc)" KBUILD_MODPOST_WARN=1 $k_make_args "$@" modules
}

# style IGNORE FILE...
style()
{
	local ignore=$1
	shift

	"$src/scripts/checkpatch.pl" --no-tree --strict -q --no-summary \
		--show-types --ignore "$ignore" -f "$@"
}

# The protocol includes neither the uapi nor the device.
apart()
{
	! grep -nE '#[[:space:]]*include.*(uapi/|linux/xmirror\.h|test_driver|hw\.h|\.\./)' \
		src/*.[ch] src/probes/*.c include/xmirror/*.h
}

# The demo, and so lib/, is built before any source of a kernel is there.
newcomer()
{
	make -s -C selftests OUT="$tmp/demo" KSELFTEST=/nonexistent "$tmp/demo/demo"
}

# What is said to make is not taken for something of the programs' own.
from_make()
{
	make -s list KERNEL='7.3 6.12' OUT=/nonexistent TESTS=intree_test_hmm_bugs >/dev/null
}

src=$(xm_slice 7.3)
list() { git ls-files -co --exclude-standard -- "$@"; }
mapfile -t kernel < <(list '*.[ch]' ':!selftests' ':!*/trace.h' \
	':!src/compat.h')
mapfile -t traces < <(list '*/trace.h')
mapfile -t programs < <(list 'selftests/**.[ch]')
mapfile -t docs < <(list 'src/*.[ch]' 'test_driver/*.[ch]' 'include/*.h')
mapfile -t scripts < <(list 'runner/*.sh' 'selftests/*.sh' '.ci/run')
for n in ${#kernel[@]} ${#traces[@]} ${#programs[@]} ${#docs[@]} ${#scripts[@]}; do
	[ "$n" != 0 ] || xm_die "git lists no files to check: this is no checkout"
done

check "runner and judge" python3 -B -m unittest discover -s runner/tests -t runner
check "ends of tests" env KSELFTEST="$src/tools/testing/selftests" \
	selftests/selftest/test.sh
check "rules for tests" selftests/selftest/lint.sh
check "coverage.md" runner/coverage_doc.py --check
check "protocol.md" runner/protocol_doc.py --check
check "tests that the documents name" runner/xmtest names
check "src/ knows no device" apart
check "the demo needs no kernel source" newcomer
check "variables of make" from_make
check "mutants" runner/xmtest mutants -n
check "shellcheck" shellcheck -S warning -x -P runner/sh -e SC2034 "${scripts[@]}"
check "shellcheck, guest" shellcheck -s dash runner/guest/init runner/guest/hmm-tests
check "checkpatch" style NONE "${kernel[@]}"
# The one file whose business it is that kernels differ.
check "checkpatch, compat.h" style LINUX_VERSION_CODE,CONSTANT_COMPARISON \
	src/compat.h
# Trace events have a layout of their own, which checkpatch does not know.
check "checkpatch, trace events" style \
	OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,SPACING "${traces[@]}"
# Programs have no BIT(), fallthrough, READ_ONCE() or __printf(), and the macros of the
# kselftest harness hide control flow, so that braces around one are due, or
# look like operands.
check "checkpatch, programs" style \
	BIT_MACRO,PREFER_FALLTHROUGH,VOLATILE,BRACES,SPACING,COMPLEX_MACRO,MACRO_WITH_FLOW_CONTROL,MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE,PREFER_DEFINED_ATTRIBUTE_MACRO,SINGLE_STATEMENT_DO_WHILE_MACRO,TRAILING_SEMICOLON,MULTISTATEMENT_MACRO_USE_DO_WHILE \
	"${programs[@]}"
check "kernel-doc" python3 "$src/scripts/kernel-doc" -none -Wall -Werror "${docs[@]}"
check "warnings" runner/sh/stock.sh lint stock-7.x
check "warnings, arm64" runner/sh/stock.sh lint stock-arm64
check "warnings, arm64 with 16K pages" runner/sh/stock.sh lint stock-arm64-16k
# Debian has no kernel with these.
check "warnings, arm64 with 64K pages" built 7.3-arm64-64k W=1
check "warnings, PREEMPT_RT" runner/sh/stock.sh lint stock-rt
# Newer kernels need a newer sparse than Debian has.
check "sparse" built 6.12 C=2
exit $failed
