#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# dkms.sh install|remove [KERNELVER]
#
# Installs the modules through DKMS for a kernel of this machine, the way that a
# user of Debian would, or undoes that. Without KERNELVER: install for the
# running kernel, or, if there are no headers for it, for the newest that has
# some; remove for all.

# shellcheck source=runner/sh/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
shopt -s inherit_errexit

conf_value() { sed -n "s/^$1=\"\(.*\)\"$/\1/p" "$XM_TOP/dkms.conf"; }

name=$(conf_value PACKAGE_NAME)
version=$(conf_value PACKAGE_VERSION)
src=/usr/src/$name-$version

packages()
{
	xm_say "installing" "$@"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq install -y "$@" >&2 ||
		{ apt-get -qq update && apt-get -qq install -y "$@"; } >&2
}

# The newest kernel that has headers.
with_headers()
{
	local dir

	for dir in /lib/modules/*/build/; do
		[ ! -e "$dir/Makefile" ] || basename "$(dirname "$dir")"
	done | sort -V | tail -n 1
}

target()
{
	local kver=$1

	if [ -z "$kver" ]; then
		kver=$(uname -r)
		[ -e "/lib/modules/$kver/build/Makefile" ] ||
			kver=$(with_headers)
	fi
	if [ -z "$kver" ]; then
		packages "linux-headers-$(dpkg --print-architecture)"
		kver=$(with_headers)
	elif [ ! -e "/lib/modules/$kver/build/Makefile" ]; then
		packages "linux-headers-$kver"
	fi
	[ -n "$kver" ] || xm_die "no kernel headers in /lib/modules"
	echo "$kver"
}

# In "dkms status" a line is NAME/VERSION, KERNEL, ARCH: STATE, and without
# kernel and arch if there is only the source.
known()
{
	local status

	command -v dkms >/dev/null || return 1
	# All of it: dkms must not write to a pipe that was closed.
	status=$(dkms status -m "$name" -v "$version")
	grep -q "^$name/$version$1" <<<"$status"
}

remove()
{
	[ -z "$1" ] || dkms remove -m "$name" -v "$version" -k "$1"
	if [ -z "$1" ] || ! known ", "; then
		! known '' || dkms remove -m "$name" -v "$version" --all
		rm -rf "$src"
		xm_say "removed $name $version"
	fi
}

install()
{
	local kver log module rc=0

	command -v dkms >/dev/null || packages dkms
	kver=$(target "$1")
	# Start over: these may be other sources under the same version.
	! known '' || dkms remove -m "$name" -v "$version" --all
	rm -rf "$src"
	mkdir "$src"
	tar -cC "$XM_TOP" "${XM_BUILT[@]}" LICENSE dkms.conf "${XM_SOURCES[@]}" |
		tar -xC "$src" --no-same-owner
	dkms add -m "$name" -v "$version"
	dkms build -m "$name" -v "$version" -k "$kver" || rc=$?
	log=/var/lib/dkms/$name/$version/build/make.log
	case $rc in
	0) ;;
	77)	xm_die "$kver lacks what $name needs: see dkms.conf" ;;
	*)	[ ! -e "$log" ] || tail -n 30 "$log" >&2
		xm_die "$name does not build for $kver, see $log" ;;
	esac
	dkms install -m "$name" -v "$version" -k "$kver"
	for module in xmirror xmirror_test; do
		echo
		# By path: modinfo by name wants the kernel's own modules there.
		modinfo "$(find "/lib/modules/$kver" -name "$module.ko*" \
			-print -quit)"
	done
	echo
	xm_say "installed for $kver; load with 'modprobe xmirror_test'"
}

PATH=$PATH:/usr/sbin:/sbin
[ "$EUID" = 0 ] || xm_die "this needs root: sudo make dkms-install"
case ${1:-} in
install) install "${2:-}" ;;
remove) remove "${2:-}" ;;
*) xm_die "usage: dkms.sh install|remove [KERNELVER]" ;;
esac
