#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# usage: lint.sh
#
# Rules for tests that a grep can check. Prints what breaks one.

cd "$(dirname "$0")/.." || exit
wrong=0

# rule TEXT GREP-ARG...: nothing may be found.
rule()
{
	text=$1
	shift
	if grep -rnE --include='*.[ch]' "$@"; then
		printf '%s\n' "^ $text"
		wrong=1
	fi
}

# A bare SKIP() takes a failed EXPECT back, and so does an exit code by hand.
rule "use XM_SKIP(), XM_XFAIL_IF(), NEED() or OPEN()" --exclude-dir=lib \
	'(^|[^_A-Za-z])SKIP\(|KSFT_(SKIP|XFAIL|XPASS|PASS|FAIL)|exit_code'
rule "the library has no SKIP() but those of test.h" --exclude=test.h \
	'(^|[^_A-Za-z])SKIP\(' lib
# Other page sizes have other numbers. KiB, an errno and a buffer are none of them.
pages='(^|[^_A-Za-z0-9.])(409[0-6]|511|512|513|0xfff|0x1000|2U?L* << 20)[UL]*([^0-9A-Za-z_.]|$)'
none='char [a-z_]+\[|errors?(\[\])? = |<< 10|\* 1024|KiB|"|define (HOP_OPS|XM_PAGE_SIZE|XM_2M)'
if grep -rnE --include='*.[ch]' --exclude-dir=bench "$pages" . | grep -vE "$none"; then
	echo "^ say XM_PAGE, XM_WORDS, XM_PMD or XM_PMD_PAGES"
	wrong=1
fi
rule "a huge page has XM_PMD bytes" 'hugepages-[0-9]+kB'
rule "wait for what has to happen, with a deadline" --exclude-dir=demo \
	'(^|[^_a-z])(usleep|sleep|nanosleep|clock_nanosleep)\('
exit $wrong
