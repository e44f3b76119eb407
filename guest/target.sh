# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced: what to boot for a kernel that the user names.

# xm_target KERNEL FLAVOUR: builds what is missing and sets
#   XM_RUN	arguments of run.sh for that kernel, modules and programs
#   XM_IMAGE	the kernel image
#   XM_KDIR	the built tree, if it is one
# XM_MAKE, an array, has arguments for the build of the modules.
# KERNEL is a version to build, a path to a built tree, or a kernel of Debian's
# own: "stock" (the newest 7) or "stock-VERSION"; with "dkms" instead of "stock"
# the modules are the ones that DKMS makes.
xm_target()
{
	local kernel=$1 flavour=$2 kdir tree=- bin root release dir m modules=()

	case $kernel in
	stock|stock-*|dkms|dkms-*)
		m=${kernel#"${kernel%%-*}"}
		m=${m#-}
		dir=$("$XM_TOP/guest/stock.sh" image "${m:-7.x}")
		read -r XM_IMAGE root release <<<"$dir"
		tree=$root/lib/modules/$release
		case $kernel in
		stock*) dir=$("$XM_TOP/guest/stock.sh" modules "${m:-7.x}") ;;
		dkms*) dir=$("$XM_TOP/guest/stock-dkms.sh" "${m:-7.x}") ;;
		esac
		# What the dev kernels have built in.
		modules=(virtio_pci virtio_blk crc32c_generic ext4 zram lzo-rle
			hwpoison-inject "$dir/xmirror.ko" "$dir/xmirror_test.ko")
		bin=$("$XM_TOP/guest/programs.sh" "$XM_CACHE")
		;;
	*)
		kdir=$("$XM_TOP/guest/kernel.sh" "$kernel" "$flavour")
		XM_IMAGE=$kdir/arch/x86/boot/bzImage
		dir=$("$XM_TOP/guest/modules.sh" "$kdir" \
			${XM_MAKE+"${XM_MAKE[@]}"})
		mapfile -t modules <<<"$dir"
		[ ! -e "$kdir/lib/test_hmm.ko" ] ||
			modules+=("$kdir/lib/test_hmm.ko")
		bin=$("$XM_TOP/guest/programs.sh" "$kdir")
		;;
	esac
	XM_KDIR=${kdir:-}
	XM_RUN=(-b "$bin" -t "$tree")
	for m in "${modules[@]}"; do
		XM_RUN+=(-m "$m")
	done
}
