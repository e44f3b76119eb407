#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: modules.sh KDIR [MAKE-ARG]...
#
# Builds the modules against KDIR in a copy of the sources, so that builds for
# several kernels do not disturb each other or the checkout. Prints the paths of
# the .ko files in the order of loading.

. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || xm_die "usage: modules.sh KDIR [MAKE-ARG]..."
kdir=$(cd "$1" && pwd)
shift
id=$(basename "$kdir")-$(sha256sum <<<"$kdir $XM_TOP $*" | cut -c1-8)
out=$XM_CACHE/build/$id
mkdir -p "$out"

build()
{
	rsync -a --delete --exclude='*.o' --exclude='*.ko' --exclude='*.mod*' \
		--exclude='.*.cmd' --exclude='.*.d' --exclude='*.symvers' \
		--exclude=modules.order --exclude='*.gcno' \
		"$XM_TOP"/{Kbuild,include,src,test_driver} "$out/"
	make -s -C "$kdir" M="$out" -j"$(nproc)" "$@" modules >&2 ||
		xm_die "building the modules for $kdir failed"
}

xm_locked "build-$id" build "$@"
for module in xmirror xmirror_test; do
	find "$out" -name $module.ko
done
