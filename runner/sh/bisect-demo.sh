#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: bisect-demo.sh [N]
#
# Plants a regression in a kernel and has "make bisect" find it. The kernel is a git
# tree of 17 commits, kept in the cache: 7.3 and 16 changes of one file in mm/ each. All
# are comments but number N (11), in which hmm_range_fault() says of every page that
# it may be written to. Fails unless that commit is found.
#
# The first run builds the kernel once (5 minutes of two cores, 3 GB); the four steps
# of a bisection build what has changed and boot a guest each.

. "$(dirname "$0")/lib.sh"

number=${1:-11}
tests=raw_hmm:range.prot_read.looked_at
tree=$XM_CACHE/bisect-demo
files=(gup hmm huge_memory ksm madvise memory migrate migrate_device mmap_lock
	mmu_notifier mprotect mremap rmap swap_state vmscan page_idle)

git() { command git -C "$tree" -c user.name=xmirror -c user.email=xmirror@localhost "$@"; }

# Only what changes is in git, and the rest of the tree around it.
make_tree()
{
	local source fragment

	[ ! -e "$tree/.config" ] || return 0
	source=$(xm_source 7.3)
	rm -rf "$tree"
	# Links: sed and git replace a file.
	cp -al "$source" "$tree"
	xm_kernel 7.3-plain
	for fragment in $k_configs; do
		cat "$XM_TOP/runner/guest/config/$fragment.config"
	done >"$tree/fragments"
	"$XM_SH/deps.sh" kernel
	make -s -C "$tree" KCONFIG_ALLCONFIG=fragments allnoconfig
}

# change I: the commit number I.
change()
{
	local file=mm/${files[$1 - 1]}.c

	if [ "$1" = "$number" ]; then
		file=mm/hmm.c
		sed -i 's/return pte_write(pte) ? (\(HMM_PFN_VALID | HMM_PFN_WRITE\)) .*/return \1;/' \
			"$tree/$file"
	else
		sed -i "2i /* Change number $1 */" "$tree/$file"
	fi
	git commit -q -m "mm: Change number $1" "$file" ||
		xm_die "change number $1 changes nothing in $file"
}

[[ $number =~ ^([1-9]|1[0-6])$ ]] || xm_die "usage: bisect-demo.sh [1 to 16]"
# commits: the 17, with tags base, planted-N and end-N.
make_commits()
{
	local i

	if [ ! -e "$tree/.git" ]; then
		git init -q
		git add -f 'mm/*.c'
		git commit -q -m "Linux 7.3"
		git tag base
	fi
	git bisect reset >/dev/null 2>&1 || true
	! git rev-parse -q --verify "end-$number" >/dev/null || return 0
	git checkout -q --detach base
	for i in {1..16}; do
		change "$i"
	done
	git tag "end-$number"
	git tag "planted-$number" "HEAD~$((16 - number))"
}

make_tree
make_commits
found=$("$XM_TOP/runner/xmtest" bisect -k "$tree" --good base --bad "end-$number" \
		-t "$tests" | tee /dev/stderr |
	sed -n 's/^first bad commit: \([0-9a-f]*\) .*/\1/p')
planted=$(git rev-parse "planted-$number")
if [ -z "$found" ] || [[ $planted != "$found"* ]]; then
	xm_die "the regression is $(git log -1 --format='%h %s' "$planted")"
fi
xm_say "the regression that was planted is found"
