#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: junit.sh [LOGDIR...]
#
# Prints the results of kept runs, by default the last check, as JUnit XML: a
# test suite for each program, and one for what judge.sh found in the kernel log.
#
# Debian's TAP::Formatter::JUnit would be the existing tool, but it shows skipped
# tests as passed ones, and needs forty packages.

. "$(dirname "$0")/lib.sh"

dirs=("$@")
[ $# -gt 0 ] || [ ! -s "$XM_CACHE/log/last" ] ||
	mapfile -t dirs <"$XM_CACHE/log/last"
[ ${#dirs[@]} -gt 0 ] || xm_die "there was no check yet"
for dir in "${dirs[@]}"; do
	[ -e "$dir/result.log" ] || xm_die "there is no result.log in '$dir'"
	[ -e "$dir/verdict" ] || : >"$dir/verdict"
done

awk '
function xml(s) {
	gsub(/&/, "\\&amp;", s)
	gsub(/</, "\\&lt;", s)
	gsub(/>/, "\\&gt;", s)
	gsub(/"/, "\\&quot;", s)
	gsub(/[^\t -~]/, "?", s)
	return s
}

function add(name, kind, message, body) {
	tests++
	cases = cases "    <testcase classname=\"" xml(program) "\" name=\"" \
		xml(name) "\""
	if (kind == "") {
		cases = cases "/>\n"
		return
	}
	if (kind == "failure")
		failures++
	else
		skips++
	cases = cases ">\n      <" kind " message=\"" xml(message) "\">" \
		xml(body) "</" kind ">\n    </testcase>\n"
}

function suite() {
	if (program == "")
		return
	printf "  <testsuite name=\"%s\" tests=\"%d\" failures=\"%d\" skipped=\"%d\">\n%s  </testsuite>\n", \
		xml(program), tests, failures, skips, cases
	program = ""
}

function start(name) {
	suite()
	program = name
	tests = failures = skips = planned = 0
	cases = notes = ""
}

BEGIN {
	print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>"
}

{ sub(/\r$/, "") }

FILENAME ~ /verdict$/ {
	if (kernel++ == 0)
		start("kernel log")
	if (/^failed: .*: kernel log: /)
		add($0, "failure", $0, "")
	next
}

/^# test: / { start(substr($0, 9)); next }
/^1\.\.[0-9]+/ { planned = substr($0, 4) + 0 }
/^# exit: / {
	if (tests < planned || (!tests && $4))
		add("(end)", "failure", "ended with status " $4 " after " \
		    tests " of " planned " tests", notes)
	suite()
	next
}
/^(not )?ok / {
	name = $0
	sub(/^(not )?ok +[0-9]* *(- )?/, "", name)
	reason = name
	if (toupper(name) ~ /# *SKIP/) {
		sub(/ *# *[Ss][Kk][Ii][Pp].*/, "", name)
		sub(/.*# *[Ss][Kk][Ii][Pp] */, "", reason)
		add(name, "skipped", reason, "")
	} else if (/^not/ && toupper(name) !~ /# *(XFAIL|TODO)/) {
		add(name, "failure", "failed", notes)
	} else {
		add(name, "", "", "")
	}
	notes = ""
	next
}
/^# / && !/^#  RUN / { notes = notes $0 "\n" }

END {
	if (program != "" && program != "kernel log" && tests < planned)
		add("(end)", "failure", "did not end", notes)
	suite()
	print "</testsuites>"
}' "${dirs[@]/%//result.log}" "${dirs[@]/%//verdict}"
