#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: hmm-tests.sh KDIR BINDIR
#	 hmm-tests.sh list KERNEL GLOB
#
# Builds the kernel's own hmm-tests into BINDIR, out of the source tree of the
# kernel in KDIR (which may be empty) and, if it is not 7.3, out of that, too.
# run-hmm-tests.sh runs them in the guest under the names that "list" prints. The
# sources are taken as they are. A guest may be emulated and full of checks, which
# no time limit in them thinks of: those limits are eight times as long here.

. "$(dirname "$0")/lib.sh"

# The longest come first.
names="hmm-tests-bench-coherent hmm-tests-bench-private hmm-tests hmm-tests-7.3"
if [ "$1" = list ]; then
	# The benchmark is of huge pages, which these do not move: 13 GB in small
	# ones, for who asks for it.
	version=$2
	[[ $version != */* ]] ||
		version=$(cat "$version/include/config/kernel.release")
	case $version,$3 in
	6.*,\*|dkms-6.*,\*) names="hmm-tests hmm-tests-7.3" ;;
	esac
	printf '%s\n' $names
	exit
fi
kdir=$1 bin=$2
newest=$(xm_source 7.3)

# version TREE: such as 6.12
version()
{
	sed -n 's/^VERSION = //p; s/^PATCHLEVEL = //p' "$1/Makefile" | paste -sd.
}

# build TREE: BINDIR/hmm-tests.bin-VERSION, of the source in TREE.
build()
{
	local tree=$1 version dir out sources=() name

	version=$(version "$tree")
	out=$bin/hmm-tests.bin-$version
	for dir in "$tree"/tools/testing/selftests/{mm,vm}; do
		[ ! -e "$dir/hmm-tests.c" ] || break
	done
	for name in hmm-tests vm_util hugepage_settings; do
		# The older ones have a vm_util.c, too, but no use for it.
		[ ! -e "$dir/$name.c" ] || [[ $name == vm_util &&
			! -e $dir/hugepage_settings.c ]] ||
			sources+=("$dir/$name.c")
	done
	[ ! "$out" -nt "${sources[0]}" ] || [ ! "$out" -nt "$0" ] || return 0
	xm_say "building hmm-tests of Linux $version"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	make -s -C "$tree" O="$tmp" ARCH=x86 headers >&2
	cat >"$tmp/limits.c" <<-'END'
	#include <poll.h>

	unsigned int __real_alarm(unsigned int seconds);
	unsigned int __wrap_alarm(unsigned int seconds)
	{
		return __real_alarm(seconds * 8);
	}

	int __real_poll(struct pollfd *fds, nfds_t nr, int ms);
	int __wrap_poll(struct pollfd *fds, nfds_t nr, int ms)
	{
		return __real_poll(fds, nr, ms > 0 ? ms * 8 : ms);
	}
	END
	# Warnings in there are nothing that could be put right here.
	gcc -O2 -w -D_GNU_SOURCE -U_FORTIFY_SOURCE -pthread -static \
		-I "$tree" -I "$tree/tools/testing/selftests" \
		-isystem "$tmp/usr/include" -isystem "$tree/tools/include/uapi" \
		-Wl,--wrap=alarm,--wrap=poll -o "$out.tmp" \
		"${sources[@]}" "$tmp/limits.c" >&2
	mv "$out.tmp" "$out"
	rm -rf "$tmp"
	trap - EXIT
}

tree=$newest
for dir in "$kdir/source" "$kdir"; do
	[ ! -e "$dir/lib/test_hmm_uapi.h" ] || tree=$(cd "$dir" && pwd)
done
exec 9>"$bin/.lock-hmm-tests"
flock 9
build "$tree"
[ "$(version "$tree")" = 7.3 ] || build "$newest"
for name in $names; do
	install "$XM_TOP/guest/run-hmm-tests.sh" "$bin/$name"
done
