#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: kernel.sh [-p] KERNEL|KDIR
#
# Prints the build directory of a kernel for the guest: a directory that serves
# as KDIR for external modules and holds a bootable image. With -p it need not hold
# the image, nor what modpost wants: that is enough for sparse.
#
# A KERNEL of the table (runner/xm/kernels.py) is built from Debian's source with the
# fragments in runner/guest/config/ on top of allnoconfig, once, and kept in the
# cache. A path is a tree of the user's own, which must be built already and is left
# alone.

. "$(dirname "$0")/lib.sh"

config=$XM_TOP/runner/guest/config

# Instrumenting takes a fifth of the time that a build takes. What UBSAN says of
# the kernel is no business of this suite, nor what KASAN says of code that has
# nothing of the modules in its hands. The rest of that list is what must not be
# instrumented: a variable of the command line overrides the makefiles'.
flags=(UBSAN_SANITIZE=n
	'KASAN_SANITIZE=$(if $(filter arch/% crypto/% net/% drivers/acpi/% drivers/pci/% drivers/pnp/% drivers/tty/% kernel/entry/% mm/kasan/%,$(obj)/),n)'
	# A second build is the same build.
	KBUILD_BUILD_TIMESTAMP=1970-01-01)

# check_config .config FRAGMENT...: print the lines that did not take effect.
check_config()
{
	local config=$1 wanted
	shift

	wanted=$(cat "$@")
	grep ^CONFIG_ <<<"$wanted" | grep -vxFf "$config" || true
	# What is to be off may have no line there.
	sed -n 's/^# \(CONFIG_.*\) is not set$/^\1=/p' <<<"$wanted" | grep -f - "$config" |
		sed 's/^\(CONFIG_[^=]*\)=.*/# \1 is not set/' || true
}

own_tree()
{
	local dir missing

	dir=$(cd "$1" && pwd)
	[ -e "$dir/arch/x86/boot/bzImage" ] ||
		xm_die "$dir has no arch/x86/boot/bzImage: build the kernel first"
	[ -e "$dir/Module.symvers" ] ||
		xm_die "$dir has no Module.symvers: run 'make modules' there first"
	# A module there is as good as missing: the guest gets none of them.
	missing=$(check_config "$dir/.config" \
		<(grep -h ^CONFIG_ "$config"/{base,x86_64}.config))
	[ -z "$missing" ] ||
		xm_say "$dir lacks options that parts of the suite rely on:" "$missing"
	missing=$(check_config "$dir/.config" "$config/debug.config")
	[ -z "$missing" ] ||
		xm_say "less is noticed in $dir, which is not as in debug.config:" "$missing"
	printf '%s\n' "$dir"
}

# prune NAME: remove old builds of a kernel, each some GB: not the two that were used
# last, nor one that was used within a week, by another checkout.
prune()
{
	local old

	for old in $(ls -td "$XM_CACHE/kernel/$1"-????????????/complete | tail -n +3); do
		[ -z "$(find "$old" -mtime +7)" ] || rm -rf "${old%/*}"
	done
}

build()
{
	local ver=$1 flavour=$2 dir=$3 src=$4 cc=$k_cc hostcc=gcc wrong make packages
	shift 4

	[ ! -e "$dir/$done" ] || return 0
	read -ra make <<<"$k_make_args"
	read -ra packages <<<"$k_packages"
	make=(make -s -C "$src" O="$dir" "${make[@]}")
	"$XM_SH/deps.sh" kernel "${packages[@]}"
	# Built in place, since a build directory knows its own name. The
	# files of an interrupted build are used.
	mkdir -p "$dir"
	cat "$@" >"$dir/fragments"
	"${make[@]}" KCONFIG_ALLCONFIG="$dir/fragments" allnoconfig \
		>"$dir/log" 2>&1 || { tail "$dir/log" >&2; return 1; }
	wrong=$(check_config "$dir/.config" "$dir/fragments")
	[ -z "$wrong" ] ||
		xm_die "options that have no effect in Linux $ver:" "$wrong"

	if command -v ccache >/dev/null; then
		export CCACHE_DIR=$XM_CACHE/ccache
		cc="ccache $cc"
		hostcc="ccache gcc"
	fi
	if [ "$done" = prepared ]; then
		"${make[@]}" -j"$(nproc)" modules_prepare \
			>>"$dir/log" 2>&1 || { tail "$dir/log" >&2; return 1; }
		touch "$dir/prepared"
		return
	fi
	xm_say "building Linux $ver ($flavour)"
	nice -n 19 "${make[@]}" -j"$(nproc)" CC="$cc" HOSTCC="$hostcc" \
		"${flags[@]}" "${k_image##*/}" modules >>"$dir/log" 2>&1 || {
		tail -n 30 "$dir/log" >&2
		xm_die "building Linux $ver failed, see $dir/log"
	}
	# The objects are most of the size; nothing needs them any more.
	find "$dir" -name '*.[oa]' -not -path "$dir/scripts/*" \
		-not -path "$dir/tools/*" -delete
	touch "$dir/complete" "$dir/prepared"
	prune "$k_name"
	xm_say "Linux $ver ($flavour) is in $dir"
}

main()
{
	local what=$1 flavour src hash fragments planted=''

	if [[ $what == */* ]]; then
		own_tree "$what"
		return
	fi
	xm_kernel "$what"
	[ "$k_flavour" != stock ] || xm_die "$what is Debian's own: see stock.sh"
	what=$k_version flavour=$k_flavour
	read -ra fragments <<<"$k_configs"
	fragments=("${fragments[@]/#/$config/}")
	fragments=("${fragments[@]/%/.config}")
	# The result depends on these: options, flags, source and compiler.
	src=$(xm_source "$what")
	if [ "$k_planted" = 1 ]; then
		planted=$("$XM_TOP/runner/xmtest" plant "$src")
		src=$(tail -n 1 <<<"$planted")
	fi
	hash=$({ cat "${fragments[@]}"; echo "${flags[@]}"; head -n 4 "$src/Makefile"
		$k_cc --version; [ -z "$planted" ] || echo "$planted"; } |
		sha256sum | cut -c1-12)
	hash=$XM_CACHE/kernel/$k_name-$hash
	[ -e "$hash/$done" ] || xm_locked "kernel-$k_name" \
		build "$what" "$k_arch, $flavour" "$hash" "$src" "${fragments[@]}"
	touch "$hash/$done"
	printf '%s\n' "$hash"
}

done=complete
if [ "${1:-}" = -p ]; then
	done=prepared
	shift
fi
[ $# -ge 1 ] || xm_die "usage: kernel.sh [-p] KERNEL|KDIR"
main "$@"
