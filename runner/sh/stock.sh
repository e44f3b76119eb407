#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Debian's own kernels, as Debian built them.
#
# stock.sh image [KERNEL]	fetch it, print: VMLINUZ ROOT KREL
# stock.sh make KERNEL DIR	build the modules whose sources are in DIR, there
# stock.sh dkms KERNEL		have DKMS make them, once, print the directory they are in
# stock.sh lint KERNEL		build them with W=1
#
# KERNEL is stock-7.x (default: the newest 7), stock-7.N, stock-6.12 or stock-6.1.
# ROOT holds lib/modules/KREL, with the drivers that a guest can have a use for.

# shellcheck source=runner/sh/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
shopt -s inherit_errexit

CHROOT=$XM_SH/chroot.sh
STOCK=$XM_CACHE/stock

# No guest has hardware for these, which are most of the modules.
UNUSED=(sound drivers/{accel,bluetooth,comedi,edac,gpu,hid,hwmon,i2c,iio}
	drivers/{infiniband,input,isdn,leds,media,mfd,mmc,mtd,net,nfc,platform}
	drivers/{power,regulator,scsi,soundwire,spi,staging,target,thunderbolt}
	drivers/{usb,video})

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

	conf=$(xm_apt_conf "$1:$k_debian_arch") || return 1
	APT_CONFIG=$conf apt-cache pkgnames linux-
}

# Print the newest release of the kernel that the archive has both parts of.
newest()
{
	local names krels krel

	names=$(kernel_names "$k_suite")
	krels=$(sed -nE "s/^linux-headers-($k_release)$/\1/p" <<<"$names" | sort -rV)
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
	local suite=$k_suite memo=$STOCK/newest-${k_name#stock-} krel

	if [ -z "$(find "$memo" -mtime -1 2>/dev/null)" ]; then
		krel=$(newest || true)
		if [ -n "$krel" ]; then
			echo "$krel" >"$memo.$$"
			mv "$memo.$$" "$memo"
		else
			# Don't let an empty list serve for the day.
			rm -f "$XM_CACHE/apt/$suite-$k_debian_arch/updated"
		fi
	fi
	[ -e "$memo" ] || xm_die "no kernel $k_name found in Debian's $suite"
	cat "$memo"
}

# fetch SUITE:ARCH DIR PACKAGE...: unpack packages into DIR, to what is there.
fetch()
{
	local suite=$1 dir=$2 deb skip=("${UNUSED[@]/#/--exclude=*/kernel/}")
	shift 2

	rm -rf "$dir.deb"
	mkdir -p "$dir/usr/lib"
	# Some packages say /lib, some /usr/lib.
	ln -sfn usr/lib "$dir/lib"
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
	local dir=$image names packages

	[ ! -d "$dir" ] || return 0
	xm_say "fetching Debian's kernel $krel"
	names=$(kernel_names "$suite")
	packages=$(image_packages "$krel" "$names")
	rm -rf "$dir.tmp"
	# shellcheck disable=SC2086 # words
	fetch "$suite:$k_debian_arch" "$dir.tmp" $packages
	/sbin/depmod -b "$dir.tmp" "$krel"
	mv "$dir.tmp/boot/vmlinuz-$krel" "$dir.tmp/vmlinuz" 2>/dev/null ||
		mv "$dir.tmp/lib/modules/$krel"/vmlinuz* "$dir.tmp/vmlinuz"
	mv "$dir.tmp" "$dir"
}

# The headers and what they need of the same source; the image, of which 6.12's
# headers say that they need it too, would only cost time.
make_headers()
{
	local dir=$headers conf packages tools

	[ ! -d "$dir" ] || return 0
	conf=$(xm_apt_conf "$suite:$k_debian_arch")
	packages=$(APT_CONFIG=$conf apt-cache --no-all-versions show \
		"linux-headers-$krel" | sed -n 's/^Depends: //p' | tr ',' '\n' |
		sed -nE 's/^ *(linux-(base-[0-9]|headers|kbuild|compiler)[^ ]*).*/\1/p')
	rm -rf "$dir.tmp"
	# The tools in linux-kbuild run here.
	tools=$(grep '^linux-kbuild' <<<"$packages")
	packages=$(grep -v '^linux-kbuild' <<<"$packages" || true)
	# shellcheck disable=SC2086 # words
	fetch "$suite:amd64" "$dir.tmp" $tools
	# shellcheck disable=SC2086 # words
	fetch "$suite:$k_debian_arch" "$dir.tmp" "linux-headers-$krel" $packages
	mv "$dir.tmp" "$dir"
}

# Everything at once, whichever part was asked for: whoever asks for one will
# want the other, and downloads go well with unpacking. Each job has a process
# group, so that all of it can be stopped.
prepare()
{
	local job

	set -m
	{
		xm_locked "stock-image-$krel" make_image
		xm_locked "stock-headers-$krel" make_headers
	} &
	"$CHROOT" "$debian" "${cross[@]}" >/dev/null &
	set +m
	trap 'for job in $(jobs -p); do kill -- "-$job"; done 2>/dev/null' EXIT
	for job in $(jobs -p); do
		wait "$job"
	done
	trap - EXIT
}

# make_in DIR [ARG]...: in DIR, which goes by the checkout's name, so that messages
# point to its files. Debian's headers know that they are for another architecture.
make_in()
{
	local dir=$1
	shift

	"$CHROOT" "$debian" "${cross[@]}" run "$headers" "$dir" "$XM_TOP" \
		make -s -C "/lib/modules/$krel/build" M="$XM_TOP" \
		-j"$(nproc)" "$@" modules
}

# make_dkms SRC DIR: the modules of SRC by DKMS into DIR.
make_dkms()
{
	local src=$1 dir=$2 ko

	[ ! -d "$dir" ] || return 0
	xm_say "building the modules for $krel by DKMS in Debian's $debian"
	mkdir "$src/out"
	# The chroot forgets everything but $src.
	# shellcheck disable=SC2016 # expanded inside
	if ! "$CHROOT" "$debian" +dkms +dpkg-dev run "$headers" "$src" "$src" bash -c '
		runner/sh/dkms.sh install "$0" &&
		find "/lib/modules/$0/updates" -name "xmirror*.ko*" \
			-exec cp {} out/ \;' "$krel" >"$src/dkms.log" 2>&1; then
		tail -n 40 "$src/dkms.log" >&2
		xm_die "DKMS failed for $krel"
	fi
	for ko in xmirror xmirror_test; do
		compgen -G "$src/out/$ko.ko*" >/dev/null || xm_die "DKMS installed no $ko"
	done
	mv "$src/dkms.log" "$src/out/"
	mv "$src/out" "$dir"
}

# What a user does who wants the modules for that release's kernel, in a chroot of that
# release. What DKMS makes of its own accord stays as it is: signed with a key that nobody
# has enrolled, stripped, packed, in the form that goes to /lib/modules.
dkms()
{
	local src dir

	src=$(mktemp -d "$STOCK/$krel/dkms.XXXXXX")
	# shellcheck disable=SC2064 # now
	trap "rm -rf '$src'" EXIT
	# dkms.sh takes from the checkout what it wants.
	rsync -a --relative "${XM_BUILT[@]}" "${XM_SOURCES[@]/#/$XM_TOP/./}" \
		"$XM_TOP"/./{LICENSE,dkms.conf,runner/{sources,sh/lib.sh,sh/dkms.sh}} "$src/"
	# Of the names and contents of all files in it
	dir=$(cd "$src" && find . -type f -print0 | sort -z | xargs -0 sha256sum |
		sha256sum | cut -c 1-12)
	dir=$STOCK/$krel/dkms-$dir
	xm_locked "stock-dkms-$krel" make_dkms "$src" "$dir"
	printf '%s\n' "$dir"
}

# All warnings about our files, with everything compiled anew.
lint()
{
	local src

	src=$(mktemp -d "$STOCK/$krel/src.XXXXXX")
	# shellcheck disable=SC2064 # now
	trap "rm -rf '$src'" EXIT
	xm_copy_sources "$src"
	xm_warnings "$XM_TOP" '^(WARNING|ERROR)' make_in "$src" W=1
}

# Its bare version means the stock kernel here.
kernel=${2:-stock-7.x}
xm_kernel "stock-${kernel#stock-}"
debian=$k_debian suite=$k_suite
# Words with a plus: what the chroot needs to build for another architecture.
cross=()
for package in $k_packages; do
	cross+=("+$package")
done
mkdir -p "$STOCK"
krel=$(release)
image=$STOCK/$krel/image headers=$STOCK/$krel/headers

case ${1:-} in
image)
	prepare
	echo "$image/vmlinuz $image $krel" ;;
make)
	prepare
	make_in "$3" >&2 ;;
dkms)
	prepare
	dkms ;;
lint)
	prepare
	lint ;;
*)
	xm_die "usage: stock.sh image|make|dkms|lint [KERNEL [DIR]]" ;;
esac
