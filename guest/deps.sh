#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Installs what the guest scripts need and this machine lacks. Silent when
# nothing is missing. Other distributions than Debian and its derivatives: see
# the list.

. "$(dirname "$0")/lib.sh"

packages=(bc bison build-essential busybox-static cpio e2fsprogs flex git
	kmod libelf-dev libssl-dev mmdebstrap mount python3 qemu-system-x86
	rsync shellcheck sparse util-linux xz-utils zstd python3-ply
	debian-archive-keyring)

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
