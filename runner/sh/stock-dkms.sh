#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: stock-dkms.sh [KERNEL]
#
# Does with DKMS, in a chroot of the matching Debian release, what a user does
# who wants the modules for that release's kernel, and prints the directory with
# the modules that DKMS installed. It is built once for the sources as they are.
#
# What DKMS makes of its own accord stays as it is: signed with a key that nobody
# has enrolled, stripped, packed, in the form that goes to /lib/modules.

# shellcheck source=runner/sh/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
shopt -s inherit_errexit

make_modules()
{
	local src=$1 dir=$2 ko

	[ ! -d "$dir" ] || return 0
	xm_say "building the modules for $krel by DKMS in Debian's $debian"
	mkdir "$src/out"
	# The chroot forgets everything but $src.
	# shellcheck disable=SC2016 # expanded inside
	if ! "$XM_SH/chroot.sh" "$debian" +dkms +dpkg-dev run \
			-l "$headers" -d "$src" bash -c '
		runner/sh/dkms.sh install "$0" &&
		find "/lib/modules/$0/updates" -name "xmirror*.ko*" \
			-exec cp {} out/ \;' "$krel" >"$src/dkms.log" 2>&1; then
		tail -n 40 "$src/dkms.log" >&2
		xm_die "DKMS failed for $krel"
	fi
	for ko in xmirror xmirror_test; do
		compgen -G "$src/out/$ko.ko*" >/dev/null || xm_die "DKMS installed no $ko"
	done
	rm -rf "$dir.tmp"
	cp -r "$src/out" "$dir.tmp"
	cp "$src/dkms.log" "$dir.tmp/"
	mv "$dir.tmp" "$dir"
}

xm_kernel "${1:-dkms-7.x}"
debian=$k_debian
image=$("$XM_SH/stock.sh" image "stock-${k_name#*-}")
read -r _ root krel <<<"$image"
headers=$(dirname "$root")/headers

src=$(mktemp -d "$(dirname "$root")/dkms.XXXXXX")
trap 'rm -rf "$src"' EXIT
# dkms.sh takes from the checkout what it wants.
rsync -a --relative "${XM_BUILT[@]}" "${XM_SOURCES[@]/#/$XM_TOP/./}" \
	"$XM_TOP"/./{LICENSE,dkms.conf,runner/{sources,sh/lib.sh,sh/dkms.sh}} "$src/"
dir=$(dirname "$root")/dkms-$(xm_digest "$src")
xm_locked "stock-dkms-$krel" make_modules "$src" "$dir"
printf '%s\n' "$dir"
