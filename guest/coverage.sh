#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: coverage.sh [-t "GLOB..."] KERNEL
#
# Runs the tests like check.sh with modules that count which of their lines are
# run, and says by file how many percent are. Needs a kernel with
# CONFIG_GCOV_KERNEL. The lines that are not run are kept in a directory, whose
# path comes last: .gcov files and a list of them all. Tests that fail do not keep
# the table from being printed, only the exit status tells.

. "$(dirname "$0")/lib.sh"

glob='*'
while getopts t: opt; do
	case $opt in
	t) glob=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || xm_die "usage: coverage.sh [-t GLOB] KERNEL"
kernel=$1

"$XM_TOP/guest/deps.sh"
kdir=$("$XM_TOP/guest/kernel.sh" "$kernel" debug)
grep -q '^CONFIG_GCOV_KERNEL=y' "$kdir/.config" ||
	xm_die "$kernel has no CONFIG_GCOV_KERNEL"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP

# gcov wants the two files of each object side by side, and the sources. Those are
# taken now, since nobody keeps them from being changed while the tests run.
out=$(dirname "$("$XM_TOP/guest/modules.sh" "$kdir" GCOV_PROFILE=y |
	head -n 1)")
dir=$XM_CACHE/coverage/$(basename "$kernel")
rm -rf "$dir"
mkdir -p "$dir"
fetch()
{
	rsync -a --prune-empty-dirs --include='*/' --include='*.gc??' \
		--include='*.[ch]' --exclude='*' "$1/" "$dir/"
}
fetch "$out"

rc=0
"$XM_TOP/guest/check.sh" -t "$glob" -g "$tmp/tar" "$kernel" || rc=$?
mkdir "$tmp/gcda"
tar -C "$tmp/gcda" -xf "$tmp/tar" 2>/dev/null ||
	xm_die "the guest has left no data"
[ -d "$tmp/gcda/$out" ] || xm_die "there are no counts of $out"
fetch "$tmp/gcda/$out"
cd "$dir"
find src test_driver -name '*.gcda' -exec gcov -p -r -s "$out" {} + \
	>gcov.log 2>&1 || {
	cat gcov.log >&2
	xm_die "gcov failed"
}
# Headers of the kernel come along where their inline functions are used.
find . -name '*.gcov' ! -name 'src#*' ! -name 'test_driver#*' \
	! -name 'include#xmirror#*' -delete

# A line of a .gcov file is "COUNT: NUMBER: SOURCE"; "-" has no code, "#####" and
# "=====" were never run, "*" behind a count is about part of the line. Functions
# that exist in several copies are told once together and then each, the copies
# between lines of dashes.
awk -F: -v list=uncovered '
FNR == 1 {
	file = FILENAME
	sub(/.*\//, "", file)
	sub(/\.gcov$/, "", file)
	gsub(/#/, "/", file)
}
{ count = $1; number = $2 + 0; gsub(/[ *]/, "", count) }
number == 0 || count == "-" || (file, number) in seen { next }
{
	seen[file, number] = 1
	lines[file]++
	all++
	if (count ~ /^[#=]/) {
		text = $0
		sub(/^[^:]*:[^:]*:/, "", text)
		print file ":" number ":" text >list
	} else {
		run[file]++
		done++
	}
}
END {
	for (file in lines)
		printf "%6.2f %% of %4d lines  %s\n", \
			100 * run[file] / lines[file], lines[file], file
	printf "%6.2f %% of %4d lines  total\n", 100 * done / all, all
}' ./*.gcov >table
grep -v 'total$' table | sort -n
grep 'total$' table
printf 'lines that were not run: %s\n' "$dir/uncovered"
exit $rc
