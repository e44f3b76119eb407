#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: start.sh demo|bench|shell [KERNEL [ARG]...]
#
# Boots one guest with the modules loaded and runs the demo or the benchmark in
# it, with ARGs, or gives a shell. For KERNEL see target.sh.

. "$(dirname "$0")/lib.sh"
. "$XM_TOP/guest/target.sh"

what=${1:?} kernel=${2:-7.3}
shift $(($# < 2 ? $# : 2))
"$XM_TOP/guest/deps.sh"

flavour=debug
[ "$what" != bench ] || flavour=plain
xm_target "$kernel" "$flavour"
XM_RUN+=(-n "$(basename "$kernel")-$what")
case $what in
shell) XM_RUN+=(-s) ;;
bench)
	# It compares with the kernel's own test device, which gets the nodes.
	# Where the kernel has none, the benchmark says so.
	peer=/lib/modules/test_hmm.ko
	XM_RUN+=(-p xmirror_test=dmirror=0 -d 3600
		-r "{ [ ! -e $peer ] || insmod $peer; } && bench $*") ;;
*) XM_RUN+=(-r "$what $*") ;;
esac
exec "$XM_TOP/guest/run.sh" "${XM_RUN[@]}" "$XM_IMAGE"
