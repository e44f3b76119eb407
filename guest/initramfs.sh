#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: initramfs.sh OUT CONF BINDIR TREE MODULE...
#
# Makes the initramfs of a guest run:
#   CONF	directory of settings, becomes /xm (see guest/init)
#   BINDIR	directory of static programs, becomes /xm/bin
#   TREE	a lib/modules/RELEASE directory, or "-" for a kernel that has all
#		drivers built in
#   MODULE	a path ending in .ko is copied to /lib/modules; a bare name is
#		looked up in TREE and copied there with what it depends on.
#		The latter are loaded at boot, in that order.

. "$(dirname "$0")/lib.sh"

# add_module FILE: copy a module, unpacking it if it is compressed.
add_module()
{
	local name=${1##*/}

	name=${name%.[xgz]*}
	case $1 in
	*.xz) xz -dc "$1" >"$stage/lib/modules/$name" ;;
	*.zst) zstd -qdc "$1" >"$stage/lib/modules/$name" ;;
	*.gz) gzip -dc "$1" >"$stage/lib/modules/$name" ;;
	*) cp "$1" "$stage/lib/modules/$name" ;;
	esac
}

# add_named NAME: a module of TREE and its dependencies, those first. A name
# that is not there is built in, or missed when the guest wants it.
add_named()
{
	local line file

	line=$(grep -E "(^|/)$1\.ko[^/:]*:" "$tree/modules.dep") || return 0
	# modules.dep lists what is needed last to first.
	for file in $(tr ' ' '\n' <<<"${line/:/}" | tac); do
		name=${file##*/}
		name=${name%%.ko*}.ko
		! grep -qx "$name" "$stage/lib/modules/order" || continue
		add_module "$tree/$file"
		printf '%s\n' "$name" >>"$stage/lib/modules/order"
	done
}

[ $# -ge 4 ] || xm_die "usage: initramfs.sh OUT CONF BINDIR TREE MODULE..."
out=$1 conf=$2 bin=$3 tree=$4
shift 4

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage"/{bin,dev,proc,sys,tmp,mnt,run,etc,root,lib/modules}
cp "$(command -v busybox)" "$stage/bin/busybox"
cp "$XM_TOP/guest/init" "$stage/init"
cp -r "$conf" "$stage/xm"
mkdir -p "$stage/xm/bin"
for file in "$bin"/*; do
	[ ! -f "$file" ] || [ ! -x "$file" ] || cp "$file" "$stage/xm/bin/"
done
: >"$stage/lib/modules/order"
for module; do
	case $module in
	*.ko) add_module "$module" ;;
	*) [ "$tree" = - ] || add_named "$module" ;;
	esac
done
(cd "$stage" && find . -print0 | cpio -o0 -H newc -R 0:0 --quiet) >"$out"
