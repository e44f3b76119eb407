#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: deps.sh [kernel|lint|PACKAGE]...
#
# Installs what the runner needs and this machine lacks. Silent when nothing is
# missing. Other distributions than Debian and its derivatives: see the list.

. "$(dirname "$0")/lib.sh"

packages=(build-essential busybox-static cpio debian-archive-keyring e2fsprogs git
	kmod mmdebstrap mount python3 qemu-system-x86 rsync util-linux xz-utils zstd)
# Only some need these.
for what; do
	case $what in
	kernel) packages+=(bc bison flex libelf-dev libssl-dev) ;;
	lint) packages+=(bc bison flex libelf-dev libssl-dev python3-ply shellcheck sparse) ;;
	*) packages+=("$what") ;;
	esac
done

missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null |
		grep -qx installed || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || xm_die "install first: ${missing[*]}"

install()
{
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 \
		install --no-install-recommends -y "${missing[@]}"
}

xm_say "installing ${missing[*]}"
mkdir -p "$XM_CACHE/log"
{ install || { apt-get -qq update && install; } } \
	>"$XM_CACHE/log/deps" 2>&1 </dev/null || {
	tail "$XM_CACHE/log/deps" >&2
	xm_die "cannot install: ${missing[*]}"
}
