#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A minimal chroot of a Debian release, with its compiler.
#
# chroot.sh RELEASE [+PACKAGE...]
#	make it, once, and print its path
# chroot.sh RELEASE [+PACKAGE...] run TREE DIR PATH CMD [ARG...]
#	run CMD in it, in DIR, which is seen there as PATH, with the files of TREE,
#	if that is not empty, laid over it
#
# Why a chroot: the tools in linux-kbuild want the C library of their release,
# and modules want the compiler that built the kernel.
#
# The chroot itself never changes: writes go to a tmpfs and are gone after CMD,
# except those to DIR. The mounts live in a mount namespace and the processes
# in a pid namespace which the kernel takes down when this script dies, however
# it dies.

# shellcheck source=runner/sh/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
shopt -s inherit_errexit

# pahole is here for its libraries (libelf above all), whose package names
# differ between releases: modpost and objtool need them.
BASE_PACKAGES=${XM_BASE:-make gcc kmod pahole}

# In the background and waited for, since bash would put off its own death
# until a foreground command ends; unshare ignores Ctrl-C.
boxed()
{
	local -a user=()

	[ "$EUID" = 0 ] || user=(--map-root-user --map-auto)
	setpriv --pdeathsig KILL unshare "${user[@]}" --mount --pid --fork \
		--kill-child --mount-proc "$@" &
	wait $!
}

make_chroot()
{
	local release=$1 packages=$2 dir=$3 tmp=$3.tmp archive proxies
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg

	[ ! -d "$dir" ] || return 0
	xm_say "making a chroot of $release"
	rm -rf "$tmp"
	mkdir -p "$tmp"
	archive=$(xm_archive)
	[ -n "$archive" ] || xm_die "apt has no Debian archive configured"
	command -v mmdebstrap >/dev/null || xm_die "mmdebstrap is not installed"
	# mmdebstrap does not take these over from this machine's apt.
	proxies=$(apt-config dump Acquire | grep -E '^Acquire::[a-z]+::Proxy ' || true)
	# Nobody reads documentation here, and what a crash leaves unwritten is
	# made anew: this saves time.
	TMPDIR=$tmp boxed mmdebstrap --quiet --mode=root --variant=essential \
		--skip=chroot/mount/sys \
		--include="$packages" ${proxies:+--aptopt="$proxies"} \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='force-unsafe-io' \
		"$release" "$tmp/root" \
		"deb [signed-by=$keyring] $archive $release main" >&2
	mv "$tmp/root" "$dir"
	rm -rf "$tmp"
}

# In the namespaces, as pid 1: put the pieces together and become CMD.
enter()
{
	local base=$1 layer=$2 dir=$3 path=$4 mnt
	shift 4

	mnt=$XM_CACHE/chroot/mnt
	mount -t tmpfs xmirror "$mnt"
	mkdir "$mnt"/{upper,work,root}
	mount -t overlay -o "upperdir=$mnt/upper,workdir=$mnt/work" \
		-o "lowerdir=${layer:+$layer:}$base" xmirror "$mnt/root"
	mkdir -p "$mnt/root$path"
	mount --bind "$dir" "$mnt/root$path"
	mount -t proc proc "$mnt/root/proc"
	mount --rbind /dev "$mnt/root/dev"
	# shellcheck disable=SC2016 # expanded inside
	exec /usr/sbin/chroot "$mnt/root" /usr/bin/env -i \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
		/bin/sh -c 'cd "$0" && exec "$@"' "$path" "$@"
}

if [ "${1:-}" = --enter ]; then
	shift
	enter "$@"
fi

release=${1:-} packages=$BASE_PACKAGES
shift || true
while [[ ${1:-} == +* ]]; do
	packages+=" ${1#+}"
	shift
done
[ -n "$release" ] && { [ $# = 0 ] || { [ "$1" = run ] && [ $# -ge 5 ]; }; } ||
	xm_die "usage: chroot.sh RELEASE [+PACKAGE...] [run TREE DIR PATH CMD...]"

name=$release-$(printf '%s' "$packages" | sha256sum | cut -c 1-8)
base=$XM_CACHE/chroot/$name
xm_locked "chroot-$name" make_chroot "$release" "$packages" "$base"
if [ $# = 0 ]; then
	printf '%s\n' "$base"
	exit
fi
mkdir -p "$XM_CACHE/chroot/mnt"
boxed "$0" --enter "$base" "${@:2}"
