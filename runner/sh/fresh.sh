#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: fresh.sh COMMAND [ARG]...
#
# Runs a command in the checkout, or in what git knows of it, on a Debian of this
# machine's release that has make, apt and nothing else, with an empty cache: shows
# what deps.sh has forgotten. All of that machine is in memory, and then gone.

. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || xm_die "usage: fresh.sh COMMAND [ARG]..."
"$XM_SH/deps.sh"
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
src=$(mktemp -d "$XM_CACHE/fresh.XXXXXX")
trap 'rm -rf "$src"' EXIT
git -C "$XM_TOP" ls-files -co --exclude-standard |
	rsync -a --ignore-missing-args --files-from=- "$XM_TOP/" "$src/"
XM_BASE="make apt debian-archive-keyring" \
	"$XM_SH/chroot.sh" "$release" run '' "$src" /root/xmirror "$@"
