#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: install.sh DESTDIR [KDIR]
#
# Installs the tests the way that kselftest does, for machines that other people
# run: DESTDIR is self-contained, needs no compiler, and is run with
# DESTDIR/run_kselftest.sh, which like its helpers comes from the kernel that the
# harness of the programs comes from. The modules have to be loaded there.

. "$(dirname "$0")/lib.sh"

dest=${1:-} kdir=${2:-/}
[ -n "$dest" ] || xm_die "usage: make install DESTDIR=directory"
bin=$("$XM_TOP/runner/xmtest" programs "$kdir")
ksft=$(xm_slice 7.3)/tools/testing/selftests
for tree in "$kdir/source" "$kdir"; do
	[ ! -e "$tree/tools/testing/selftests/run_kselftest.sh" ] ||
		ksft=$tree/tools/testing/selftests
done

mkdir -p "$dest/xmirror" "$dest/kselftest"
install -m 755 "$ksft/run_kselftest.sh" "$dest/"
for file in "$ksft"/kselftest/*; do
	[ ! -f "$file" ] || install -m 755 "$file" "$dest/kselftest/"
done

# Other collections may be there already.
list=$dest/kselftest-list.txt
[ ! -e "$list" ] || sed -i '/^xmirror:/d' "$list"
tests=$(make -s -C "$XM_TOP/selftests" list)
for test in $tests; do
	install -m 755 "$bin/$test" "$dest/xmirror/"
	printf 'xmirror:%s\n' "$test" >>"$list"
done

# The longest that a program takes is under emulation, with every debug option.
echo timeout=600 >"$dest/xmirror/settings"
{
	echo "# The tests need these options; tests of a missing one skip."
	grep -h '^CONFIG_.*=[ym]' "$XM_TOP"/runner/guest/config/{base,x86_64}.config
} >"$dest/xmirror/config"
{
	echo "# These see mistakes of the modules. Tests take the time tenfold."
	grep -h '^CONFIG_.*=' "$XM_TOP/runner/guest/config/debug.config"
} >"$dest/xmirror/config.debug"
xm_say "$(wc -w <<<"$tests") programs are in $dest; run $dest/run_kselftest.sh" \
	"with the modules loaded"
