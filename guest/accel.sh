#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: accel.sh BZIMAGE
#
# Prints the QEMU options for acceleration and CPU. /dev/kvm being there does
# not mean that a guest runs under it, so boot one and see. That it does is true of
# all kernels, that it does not may be the image's fault and is kept for that one;
# all is asked again when the machine was rebooted or QEMU changed.
# XM_ACCEL=kvm|tcg overrides.
#
# XM_THREAD=single emulates all CPUs of the guest in one thread. That is slower,
# but takes one CPU only: two guests on two CPUs do not wait for each other then.

. "$(dirname "$0")/lib.sh"

# Five-level page tables would only make the emulated page walks longer, and
# fast string moves are emulated byte by byte.
tcg="-accel tcg,thread=${XM_THREAD:-multi} -cpu max,la57=off,erms=off,fsrm=off"
kvm="-accel kvm -cpu host"

boots()
{
	local tmp rc=0

	tmp=$(mktemp -d)
	mkdir -p "$tmp/root/bin"
	cp "$(command -v busybox)" "$tmp/root/bin/"
	printf '%s\n' '#!/bin/busybox sh' '/bin/busybox echo xmirror-probe' \
		'/bin/busybox poweroff -f' >"$tmp/root/init"
	chmod +x "$tmp/root/init"
	(cd "$tmp/root" && find . | cpio -o -H newc --quiet) >"$tmp/initrd"
	# shellcheck disable=SC2086 # options are words
	timeout -k 2 10 qemu-system-x86_64 $kvm -m 512 -smp 2 -nodefaults \
		-no-user-config -display none -no-reboot -serial stdio \
		-kernel "$1" -initrd "$tmp/initrd" \
		-append "console=ttyS0 quiet panic=-1" \
		</dev/null >"$tmp/log" 2>&1 || :
	grep -q xmirror-probe "$tmp/log" || rc=1
	rm -rf "$tmp"
	return $rc
}

works()
{
	local memo=$XM_CACHE/accel key image

	[ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
	key=$(cat /proc/sys/kernel/random/boot_id; qemu-system-x86_64 --version;
		stat -c '%t:%T %i' /dev/kvm)
	key="key $(sha256sum <<<"$key")"
	image="tcg $(stat -c '%n %s %Y' "$1")"
	grep -qxF "$key" "$memo" 2>/dev/null || printf '%s\n' "$key" >"$memo"
	if grep -qx kvm "$memo"; then
		return 0
	elif grep -qxF "$image" "$memo"; then
		return 1
	elif boots "$1"; then
		echo kvm >>"$memo"
		return 0
	fi
	xm_say "there is /dev/kvm, but $1 does not boot under it: emulating"
	printf '%s\n' "$image" >>"$memo"
	return 1
}

accel=${XM_ACCEL:-}
[ -n "$accel" ] || accel=$(xm_locked accel works "$1" && echo kvm || echo tcg)
case $accel in
kvm) echo "$kvm" ;;
tcg) echo "$tcg" ;;
*) xm_die "XM_ACCEL is kvm or tcg" ;;
esac
