# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the scripts: cache layout, messages, Debian's archive.
#
# Everything fetched or built lives under $XM_CACHE, outside the checkout. An
# entry is made in a temporary name and renamed when complete, so an interrupted
# run never leaves half an entry behind, and a lock per entry keeps two runs
# from making the same one.

set -euo pipefail

XM_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
XM_SH=$XM_TOP/runner/sh
# The sources of both modules
read -ra XM_SOURCES <"$XM_TOP/runner/sources"
XM_CACHE=${XDG_CACHE_HOME:-~/.cache}/xmirror
mkdir -p "$XM_CACHE"

xm_say() { printf '%s\n' "xmirror: $*" >&2; }
xm_die() { xm_say "$*"; exit 1; }

# xm_locked NAME CMD...: run CMD holding the lock of cache entry NAME.
xm_locked()
{
	local lock=$XM_CACHE/.lock-$1
	shift
	(
		exec 9>"$lock"
		flock 9
		"$@" 9>&-
	)
}

# A build leaves these beside the sources: options of rsync and of tar.
XM_BUILT=(--exclude={'*.o','*.ko','*.mod*','.*.cmd','.*.d','*.symvers',modules.order})

# xm_copy_sources DIR: the sources of the modules, and the sample, into DIR.
xm_copy_sources()
{
	rsync -a "${XM_BUILT[@]}" "${XM_SOURCES[@]/#/$XM_TOP/}" "$XM_TOP/samples" "$1/"
}

# xm_warnings DIR PATTERN CMD...: run CMD, which builds what is in DIR. It must succeed,
# warn of none of our files, and print no line with the PATTERN.
xm_warnings()
{
	local dir=$1 ours out rc=0

	ours='^(src|test_driver|samples|include/(xmirror|uapi/linux/xmirror)).*(warning|error):'
	ours+="|$2"
	shift 2
	out=$("$@" 2>&1) || rc=1
	grep -E "$ours" <<<"${out//"$dir"\//}" && rc=1
	[ $rc = 0 ] || tail -n 30 <<<"$out"
	return $rc
}

# xm_archive [LABEL]: the address of Debian's archive (or of the one with another
# label, such as Debian-Security), as this machine's own apt has it; may be empty.
xm_archive()
{
	# sed reads all of its input: head would close the pipe early.
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
		'Origin: Debian' "Label: ${1:-Debian}" | sed -n '1s,/*$,,p'
}

# xm_apt_conf SUITE:ARCH: a private apt for any suite of the same archive. Prints the
# option file. The machine's own sources and package state are left alone.
xm_apt_conf() { xm_locked "apt-$1" xm_make_apt_conf "${1%:*}" "${1#*:}"; }

xm_make_apt_conf()
{
	local suite=$1 arch=$2 dir=$XM_CACHE/apt/$1-$2 key main security

	key=/usr/share/keyrings/debian-archive-keyring.gpg
	main=$(xm_archive)
	[ -n "$main" ] || xm_die "apt has no Debian archive configured"
	security=$(xm_archive Debian-Security)
	mkdir -p "$dir"/{lists/partial,archives/partial}
	[ -e "$dir/status" ] || : >"$dir/status"
	printf 'deb [signed-by=%s] %s %s main\n' "$key" "$main" "$suite" \
		>"$dir/sources.list"
	# Backports and sid have no security suite of their own.
	case $suite in
	*-*|sid) ;;
	*)	[ -z "$security" ] ||
			printf 'deb [signed-by=%s] %s %s-security main\n' \
				"$key" "$security" "$suite" >>"$dir/sources.list" ;;
	esac
	cat >"$dir/apt.conf" <<-CONF
	Dir::Etc::SourceList "$dir/sources.list";
	Dir::Etc::SourceParts "-";
	Dir::State::Lists "$dir/lists";
	Dir::State::status "$dir/status";
	Dir::Cache "$dir";
	Dir::Cache::archives "$dir/archives";
	APT::Architecture "$arch";
	APT::Architectures "$arch";
	APT::Sandbox::User "root";
	CONF
	# A list younger than a day serves.
	if [ -z "$(find "$dir/updated" -mtime -1 2>/dev/null)" ]; then
		APT_CONFIG=$dir/apt.conf apt-get -qq \
			-o APT::Update::Error-Mode=any update >&2 ||
			xm_die "cannot get the package lists of Debian's $suite"
		touch "$dir/updated"
	fi
	printf '%s\n' "$dir/apt.conf"
}

# xm_download SUITE:ARCH DIR PACKAGE...: fetch packages into DIR.
xm_download()
{
	local suite=$1 dir=$2 conf
	shift 2

	conf=$(xm_apt_conf "$suite") || return 1
	mkdir -p "$dir"
	(cd "$dir" && APT_CONFIG=$conf apt-get -qq download "$@" >&2) && return
	# Ask anew next time: the packages may have been superseded.
	rm -f "${conf%/*}/updated"
	xm_say "cannot fetch $*: try again"
	return 1
}

# xm_busybox ARCH: a static busybox for guests of that architecture of Debian's.
xm_make_busybox()
{
	local dir=$XM_CACHE/busybox-$1

	[ ! -e "$dir" ] || return 0
	rm -rf "$dir.tmp"
	xm_download "trixie:$1" "$dir.tmp" busybox-static || exit 1
	dpkg-deb -x "$dir.tmp"/*.deb "$dir.tmp"
	mv "$dir.tmp" "$dir"
}

xm_busybox()
{
	xm_locked "busybox-$1" xm_make_busybox "$1" >&2
	find "$XM_CACHE/busybox-$1" -path '*/bin/busybox'
}

# xm_kernel NAME: the row of that kernel in the table of kernels, as variables k_*.
k_name='' k_version='' k_suite='' k_release='' k_flavour='' k_configs='' k_debian=''
k_planted='' k_arch='' k_debian_arch='' k_packages='' k_make_args='' k_cc='' k_image=''
xm_kernel()
{
	local row

	row=$("$XM_TOP/runner/xmtest" kernel "$1") || exit 1
	eval "$row"
}

# xm_unpack VERSION DIR [PATTERN...]: the source, or what of it matches, into DIR.
xm_unpack()
{
	local ver=$1 dir=$2 tmp=$2.tmp
	shift 2

	[ ! -e "$dir/Makefile" ] || return 0
	rm -rf "$tmp" "$dir"
	mkdir -p "$tmp/tree"
	xm_kernel "$ver"
	xm_say "fetching the source of Linux $ver"
	xm_download "$k_suite:amd64" "$tmp/deb" "linux-source-$ver" || exit 1
	dpkg-deb --fsys-tarfile "$tmp/deb"/*.deb | tar -xO --wildcards '*.tar.xz' |
		xz -dc -T0 | tar -xC "$tmp/tree" --strip-components=1 --wildcards "$@"
	mv "$tmp/tree" "$dir"
	rm -rf "$tmp"
}

# xm_source VERSION: Debian's kernel source of that version, unpacked.
xm_source()
{
	xm_locked "source-$1" xm_unpack "$1" "$XM_CACHE/source/$1"
	printf '%s\n' "$XM_CACHE/source/$1"
}

# The files that build the programs, and make lint and JUnit: the harness, the
# hmm-tests, the headers for user space, some scripts. 30 MB of 1600.
XM_SLICE=('*/Makefile' '*/scripts/*' '*/include/uapi/*' '*/include/asm-generic/*'
	'*/arch/x86/include/*' '*/arch/x86/entry/syscalls/*'
	'*/arch/arm64/include/*' '*/arch/arm64/tools/*'
	'*/tools/docs/kernel-doc' '*/tools/lib/python/*'
	'*/tools/include/*' '*/tools/testing/kunit/*'
	'*/tools/testing/selftests/lib.mk' '*/tools/testing/selftests/*.h'
	'*/tools/testing/selftests/kselftest*' '*/tools/testing/selftests/run_kselftest.sh'
	'*/tools/testing/selftests/mm/*' '*/lib/test_hmm*' '*/mm/gup_test.h')

# xm_slice VERSION: the directory of that part, or of all of it if that is there.
xm_slice()
{
	local dir

	if [ -e "$XM_CACHE/source/$1/Makefile" ]; then
		printf '%s\n' "$XM_CACHE/source/$1"
		return
	fi
	dir=$1-$(printf '%s' "${XM_SLICE[*]}" | sha256sum | cut -c 1-8)
	xm_locked "slice-$dir" xm_unpack "$1" "$XM_CACHE/slice/$dir" "${XM_SLICE[@]}"
	printf '%s\n' "$XM_CACHE/slice/$dir"
}
