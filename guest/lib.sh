# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the guest scripts: cache layout, messages, Debian's archive.
#
# Everything fetched or built lives under $XM_CACHE, outside the checkout. An
# entry is made in a temporary name and renamed when complete, so an interrupted
# run never leaves half an entry behind, and a lock per entry keeps two runs
# from making the same one.

set -euo pipefail

XM_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
XM_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/xmirror
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

# xm_archive [LABEL]: the address of Debian's archive (or of the one with another
# label, such as Debian-Security), as this machine's own apt has it; may be empty.
xm_archive()
{
	# sed reads all of its input: head would close the pipe early.
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
		'Origin: Debian' "Label: ${1:-Debian}" | sed -n '1s,/*$,,p'
}

# xm_apt_conf SUITE: a private apt for any suite of the same archive. Prints the
# option file. The machine's own sources and package state are left alone.
xm_apt_conf() { xm_locked "apt-$1" xm_make_apt_conf "$1"; }

xm_make_apt_conf()
{
	local suite=$1 dir=$XM_CACHE/apt/$1 key main security

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
	APT::Architecture "amd64";
	APT::Architectures "amd64";
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

# xm_download SUITE DIR PACKAGE...: fetch packages of SUITE into DIR.
xm_download()
{
	local suite=$1 dir=$2 conf
	shift 2

	conf=$(xm_apt_conf "$suite") || return 1
	mkdir -p "$dir"
	(cd "$dir" && APT_CONFIG=$conf apt-get -qq download "$@" >&2) && return
	# Ask anew next time: the packages may have been superseded.
	rm -f "$XM_CACHE/apt/$suite/updated"
	xm_say "cannot fetch $*: try again"
	return 1
}

# xm_deb SUITE PACKAGE DIR: fetch a package of SUITE and unpack it into DIR.
xm_deb()
{
	local tmp=$3.deb

	mkdir -p "$3"
	xm_download "$1" "$tmp" "$2" || exit 1
	dpkg-deb -x "$tmp"/*.deb "$3"
	rm -rf "$tmp"
}

# The suite that carries linux-source of a version.
xm_suite()
{
	case $1 in
	6.1) echo bookworm ;;
	6.12) echo bookworm-backports ;;
	*) echo trixie-backports ;;
	esac
}

xm_make_source()
{
	local ver=$1 dir=$XM_CACHE/source/$1 tmp=$XM_CACHE/source/$1.tmp

	[ ! -e "$dir/Makefile" ] || return 0
	xm_say "fetching the source of Linux $ver"
	rm -rf "$tmp"
	mkdir -p "$tmp/deb"
	xm_deb "$(xm_suite "$ver")" "linux-source-$ver" "$tmp/deb"
	mkdir "$tmp/tree"
	tar -C "$tmp/tree" --strip-components=1 -xf \
		"$tmp/deb/usr/src/linux-source-$ver.tar.xz"
	rm -rf "$dir"
	mv "$tmp/tree" "$dir"
	rm -rf "$tmp"
}

# xm_source VERSION: Debian's kernel source of that version, unpacked.
xm_source()
{
	xm_locked "source-$1" xm_make_source "$1"
	printf '%s\n' "$XM_CACHE/source/$1"
}
