#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Debian's own kernels, as Debian built them.
#
# stock.sh image [KERNEL]	fetch it, print: VMLINUZ ROOT KREL
# stock.sh modules [KERNEL]	build our modules for it, print their directory
#
# KERNEL is 7.x (default: the newest 7), 7.N, 6.12 or 6.1. ROOT holds
# lib/modules/KREL, with the drivers that a guest can have a use for.

# shellcheck source=guest/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
shopt -s inherit_errexit

CHROOT=$XM_TOP/guest/chroot.sh
STOCK=$XM_CACHE/stock

# What no guest has hardware for: most of the modules.
UNUSED=(sound drivers/{accel,bluetooth,comedi,edac,gpu,hid,hwmon,i2c,iio}
	drivers/{infiniband,input,isdn,leds,media,mfd,mmc,mtd,net,nfc,platform}
	drivers/{power,regulator,scsi,soundwire,spi,staging,target,thunderbolt}
	drivers/{usb,video})

suite_of()
{
	case $1 in
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	*) echo trixie-backports ;;
	esac
}

# The packages that make up the kernel KREL, out of the NAMES there are; fails if
# the archive has only its headers. Since 7.x the parts are separate packages,
# and the unsigned kernel is there days before the signed one.
image_packages()
{
	local krel=$1 names=$2 kernel=image parts='' name

	if grep -Fqx "linux-modules-$krel" <<<"$names"; then
		kernel=binary
		parts="linux-base-$krel linux-modules-$krel"
	fi
	for name in linux-$kernel{,-unsigned}-"$krel" \
			"linux-$kernel-$krel-unsigned"; do
		if grep -Fqx "$name" <<<"$names"; then
			echo "$parts $name"
			return
		fi
	done
	return 1
}

kernel_names()
{
	local conf

	conf=$(xm_apt_conf "$1") || return 1
	APT_CONFIG=$conf apt-cache pkgnames linux-
}

# Print the newest release of KERNEL that the archive has both parts of.
newest()
{
	local want=${1%.x} names krels krel

	names=$(kernel_names "$2")
	krels=$(sed -nE "/-(cloud|rt)-amd64$/d
		s/^linux-headers-(${want//./\\.}\.[0-9].*-amd64)$/\1/p" \
		<<<"$names" | sort -rV)
	for krel in $krels; do
		if image_packages "$krel" "$names" >/dev/null; then
			echo "$krel"
			return
		fi
	done
}

# The same, asking the archive once a day. Without network the last answer holds.
release()
{
	local kernel=$1 suite=$2 memo=$STOCK/newest-$1 krel

	if [ -z "$(find "$memo" -mtime -1 2>/dev/null)" ]; then
		krel=$(newest "$kernel" "$suite" || true)
		if [ -n "$krel" ]; then
			echo "$krel" >"$memo.$$"
			mv "$memo.$$" "$memo"
		else
			# Don't let an empty list serve for the day.
			rm -f "$XM_CACHE/apt/$suite/updated"
		fi
	fi
	[ -e "$memo" ] || xm_die "no kernel $kernel found in Debian's $suite"
	cat "$memo"
}

# fetch SUITE DIR PACKAGE...: unpack packages into DIR.
fetch()
{
	local suite=$1 dir=$2 deb skip=("${UNUSED[@]/#/--exclude=*/kernel/}")
	shift 2

	rm -rf "$dir" "$dir.deb"
	mkdir -p "$dir/usr/lib"
	# Some packages say /lib, some /usr/lib.
	ln -s usr/lib "$dir/lib"
	if ! xm_download "$suite" "$dir.deb" "$@"; then
		# Nor may these be the newest any more.
		touch -d @0 "$STOCK"/newest-*
		exit 1
	fi
	for deb in "$dir.deb"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -xC "$dir" \
			--keep-directory-symlink "${skip[@]}"
	done
	rm -rf "$dir.deb"
}

make_image()
{
	local suite=$1 krel=$2 dir=$3 names packages file

	[ ! -d "$dir" ] || return 0
	xm_say "fetching Debian's kernel $krel"
	names=$(kernel_names "$suite")
	packages=$(image_packages "$krel" "$names")
	# shellcheck disable=SC2086 # words
	fetch "$suite" "$dir.tmp" $packages
	/sbin/depmod -b "$dir.tmp" "$krel"
	for file in vmlinuz config; do
		mv "$dir.tmp"/boot/$file-"$krel" "$dir.tmp/$file" 2>/dev/null ||
			mv "$dir.tmp/lib/modules/$krel"/$file* "$dir.tmp/$file"
	done
	mv "$dir.tmp" "$dir"
}

# The headers and what they need of the same source; the image, of which 6.12's
# headers say that they need it too, would only cost time.
make_headers()
{
	local suite=$1 krel=$2 dir=$3 conf packages

	[ ! -d "$dir" ] || return 0
	conf=$(xm_apt_conf "$suite")
	packages=$(APT_CONFIG=$conf apt-cache --no-all-versions show \
		"linux-headers-$krel" | sed -n 's/^Depends: //p' | tr ',' '\n' |
		sed -nE 's/^ *(linux-(base-[0-9]|headers|kbuild|compiler)[^ ]*).*/\1/p')
	# shellcheck disable=SC2086 # words
	fetch "$suite" "$dir.tmp" "linux-headers-$krel" $packages
	mv "$dir.tmp" "$dir"
}

fetch_all()
{
	xm_locked "stock-image-$krel" make_image "$suite" "$krel" "$image"
	xm_locked "stock-headers-$krel" make_headers "$suite" "$krel" "$headers"
}

# Everything at once, whichever part was asked for: whoever asks for one will
# want the other, and downloads go well with unpacking. Each job has a process
# group, so that all of it can be stopped.
prepare()
{
	local job

	set -m
	fetch_all &
	"$CHROOT" "$debian" >/dev/null &
	set +m
	trap 'for job in $(jobs -p); do kill -- "-$job"; done 2>/dev/null' EXIT
	for job in $(jobs -p); do
		wait "$job"
	done
	trap - EXIT
}

make_modules()
{
	local src=$1 dir=$2 ko

	[ ! -d "$dir" ] || return 0
	xm_say "building the modules for $krel"
	# Under the checkout's name, so that messages point to its files.
	"$CHROOT" "$debian" run -l "$headers" -d "$src:$XM_TOP" \
		make -s -C "/lib/modules/$krel/build" M="$XM_TOP" \
		-j"$(nproc)" modules >&2
	rm -rf "$dir.tmp"
	mkdir -p "$dir.tmp/debug"
	for ko in xmirror.ko xmirror_test.ko; do
		find "$src" -name $ko -exec cp {} "$dir.tmp/debug/" \;
		strip -g -o "$dir.tmp/$ko" "$dir.tmp/debug/$ko"
	done
	mv "$dir.tmp" "$dir"
}

modules()
{
	local src dir

	src=$(mktemp -d "$STOCK/$krel/src.XXXXXX")
	# shellcheck disable=SC2064 # now
	trap "rm -rf '$src'" EXIT
	rsync -a --exclude={'*.o','*.ko','*.mod*','.*.cmd','*.symvers'} \
		"$XM_TOP"/{Kbuild,include,src,test_driver} "$src/"
	dir=$(cd "$src" && find . -type f -print0 | sort -z |
		xargs -0 sha256sum | sha256sum | cut -c 1-12)
	dir=$STOCK/$krel/modules-$dir
	xm_locked "stock-modules-$krel" make_modules "$src" "$dir"
	echo "$dir"
}

kernel=${2:-7.x}
case $kernel in
6.1|6.12|[789].x|[789].[0-9]*) ;;
*) xm_die "no Debian kernel $kernel: 7.x, 7.N, 6.12 or 6.1" ;;
esac
debian=trixie
[ "$kernel" != 6.1 ] || debian=bookworm
suite=$(suite_of "$kernel")
mkdir -p "$STOCK"
krel=$(release "$kernel" "$suite")
image=$STOCK/$krel/image headers=$STOCK/$krel/headers

case ${1:-} in
image)
	prepare
	echo "$image/vmlinuz $image $krel" ;;
modules)
	prepare
	modules ;;
*)
	xm_die "usage: stock.sh image|modules [7.x|7.N|6.12|6.1]" ;;
esac
