#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: long.sh HOURS KERNEL COMMAND...
#
# Boots one guest with the modules loaded and runs a command in it that may take
# HOURS. For KERNEL see target.sh. The command has to print something every five
# minutes, or the guest is taken for dead.

. "$(dirname "$0")/lib.sh"
. "$XM_TOP/guest/target.sh"

[ $# -ge 3 ] || xm_die "usage: long.sh HOURS KERNEL COMMAND..."
hours=$1 kernel=$2
shift 2
"$XM_TOP/guest/deps.sh"
xm_target "$kernel" debug
exec "$XM_TOP/guest/run.sh" "${XM_RUN[@]}" -n "$(basename "$kernel")-long" \
	-d $((hours * 3600)) -r "$*" "$XM_IMAGE"
