#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: soak.sh MINUTES KERNEL
#
# For MINUTES, beside each other in one guest: the fuzzer with one seed after the
# other, the stress test, and the tests of races and engines. What asks how much
# device memory is free, or takes the modules out, is not among them. Fails with
# the first that fails, whose output is then shown.

. "$(dirname "$0")/lib.sh"

minutes=${1:?} kernel=${2:?}
[[ $minutes =~ ^[1-9][0-9]*$ ]] || xm_die "MINUTES=$minutes is no number"

# For the guest's shell: loop NAME... runs these until the time is over.
read -rd '' script <<'EOS' || :
loop() {
	rounds=0
	while [ "$(date +%s)" -lt "$end" ] && [ ! -e /tmp/failed ]; do
		for name; do
			log=/tmp/soak.${1%% *}
			if $name >$log 2>&1 || [ $? = 4 ]; then
				rounds=$((rounds + 1))
			elif mkdir /tmp/failed 2>/dev/null; then
				echo "# failed: $name"
				cat $log
			fi
			echo "# $name, round $rounds"
		done
	done
}
export XM_COUNT=20000
end=$(($(date +%s) + minutes * 60))
loop 'abuse_fuzz --calls 5000' & loop abuse_stress &
loop race_exclusive race_fault race_invalidate engine_jobs engine_teardown engine_freeze &
wait
[ ! -e /tmp/failed ]
EOS
exec "$XM_TOP/guest/long.sh" $((minutes / 60 + 2)) "$kernel" \
	"minutes=$minutes; $script"
