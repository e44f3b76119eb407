#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: junit.sh [LOGDIR...]
#
# Prints the results of kept runs, by default the last check, as JUnit XML: a
# test suite for each program, and one for what went wrong beside the tests: what
# judge.sh found, and what was not run.
#
# Debian's TAP::Formatter::JUnit would be the existing tool, but it shows skipped
# tests as passed ones, and needs forty packages.

. "$(dirname "$0")/lib.sh"

dirs=() other=()
if [ $# -eq 0 ] && [ -s "$XM_CACHE/log/last" ]; then
	mapfile -t lines <"$XM_CACHE/log/last"
	set -- "${lines[@]}"
fi
[ $# -gt 0 ] || xm_die "there was no check yet"
for line; do
	case $line in
	'failed: '*) other+=("$line") ;;
	*)	dirs+=("$line")
		[ -e "$line/result.log" ] ||
			xm_die "there is no result.log in '$line'"
		[ -e "$line/verdict" ] || : >"$line/verdict" ;;
	esac
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
	tests = failures = skips = 0
	cases = notes = ""
}

BEGIN {
	print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>"
}

{ sub(/\r$/, "") }

# Now all tests are known: the rest is what no suite has.
verdict {
	if (program != "check")
		start("check")
	if (sub(/^failed: /, "") && shown[$0]-- <= 0)
		add($0, "failure", $0, "")
	next
}

/^# test: / { start(substr($0, 9)); next }
/^# exit: / { suite(); next }
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
		shown[program ": " name]++
	} else {
		add(name, "", "", "")
	}
	notes = ""
	next
}
/^# / && !/^#  RUN / { notes = notes $0 "\n" }

END {
	suite()
	print "</testsuites>"
}' "${dirs[@]/%//result.log}" verdict=1 "${dirs[@]/%//verdict}" \
	<(printf '%s\n' "${other[@]}")
