#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: run.sh [option]... BZIMAGE
#
# Boots a guest and keeps its logs. What the guest's programs print comes out
# on standard output as it happens. Exits with the verdict of judge.sh.
#
#   -n NAME	name of the kernel in messages and in the log directory
#   -b BINDIR	static programs for the guest
#   -m MODULE	a .ko file, or a name to look up in -t; may be repeated
#   -t TREE	lib/modules/RELEASE of a kernel with modules
#   -p M=PARAMS	parameters for module M; may be repeated
#   -c FILE	check: run the programs that FILE names, a line each. They are taken
#		out of it one by one, so that guests can share it.
#   -r COMMAND	run: run a shell command in the guest, exit with its status
#   -s		shell: an interactive shell on this terminal
#   -N		leave loading of the modules to the programs
#   -l SECONDS	time limit of one test program ($XM_LIMIT or 1200)
#   -d SECONDS	time limit of the whole run (by the number of programs)
#   -a ARGS	the kernel's command line gets these too (or $XM_APPEND)
#   -L FILE	write the log directory's name to FILE
#   -g FILE	get the .gcda files of the modules, as a tar file

. "$(dirname "$0")/lib.sh"

name=guest bin=/nonexistent tree=- mode=shell queue=/dev/null cmd='' limit=${XM_LIMIT:-1200}
deadline='' append=${XM_APPEND:-} none='' logname='' gcov=''
modules=() params=()
while getopts n:b:m:t:p:c:r:sNl:d:a:L:g: opt; do
	case $opt in
	n) name=$OPTARG ;;
	b) bin=$OPTARG ;;
	m) modules+=("$OPTARG") ;;
	t) tree=$OPTARG ;;
	p) params+=("$OPTARG") ;;
	c) mode=check queue=$OPTARG ;;
	r) mode=run cmd=$OPTARG ;;
	s) mode=shell ;;
	N) none=none ;;
	l) limit=$OPTARG ;;
	d) deadline=$OPTARG ;;
	a) append+=" $OPTARG" ;;
	L) logname=$OPTARG ;;
	g) gcov=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || xm_die "usage: run.sh [option]... BZIMAGE"
image=$1

tmp=
qemu=
watch=
terminal=
# A guest must not outlive this script, however it ends; setpriv covers the
# case that it is killed.
cleanup()
{
	if [ -n "$qemu" ]; then
		{ kill -KILL "$qemu" && wait "$qemu"; } 2>/dev/null || :
	fi
	[ -z "$terminal" ] || stty "$terminal"
	[ -z "$watch" ] || kill "$watch" 2>/dev/null || :
	[ -z "$tmp" ] || rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
tmp=$(mktemp -d)

# Keep the last twenty runs that have ended.
mkdir -p "$XM_CACHE/log"
log=$XM_CACHE/log/$(date +%Y%m%d-%H%M%S.%N | cut -c1-19)-$name
mkdir "$log"
# Another run may be doing the same.
{ find "$XM_CACHE/log" -mindepth 2 -maxdepth 2 -name end -printf '%h\n' | sort |
	head -n -20 | xargs -rd '\n' rm -rf --; } 2>/dev/null || :
[ -z "$logname" ] || printf '%s\n' "$log" >"$logname"

mkdir "$tmp/conf"
printf '%s\n' "$mode" >"$tmp/conf/mode"
printf '%s\n' "$limit" >"$tmp/conf/limit"
printf '%s\n' "$none" >"$tmp/conf/modules"
[ -z "$gcov" ] || printf '%s\n' /dev/vdc >"$tmp/conf/gcov"
printf '%s\n' "$cmd" >"$tmp/conf/cmd"

# Two ranges that the kernel leaves alone, for coherent device memory.
reserved='memmap=512M$0x40000000'
printf '%s\n' "spm_addr_dev0=0x40000000 spm_addr_dev1=0x50000000" \
	>"$tmp/conf/params.xmirror_test"
for p in "${params[@]}"; do
	printf '%s\n' "${p#*=}" >>"$tmp/conf/params.${p%%=*}"
done
"$XM_TOP/guest/initramfs.sh" "$tmp/initrd" "$tmp/conf" "$bin" "$tree" \
	"${modules[@]}"

truncate -s 512M "$tmp/swap"
truncate -s 512M "$tmp/scratch"
/sbin/mkfs.ext4 -q -F "$tmp/scratch"

read -ra accel < <("$XM_TOP/guest/accel.sh" "$image")
# Under emulation the kernel's checks of its clocks fail when the machine is
# busy: for the time stamp counters it falls back to a slow clock, and for the
# timer interrupt it panics. Both are fine.
[[ ${accel[*]} != *tcg* ]] || append+=" tsc=reliable no_timer_check"
: "${deadline:=$((300 + limit * ($(wc -l <"$queue") + 1) / 2))}"

# shellcheck disable=SC2054 # the commas are QEMU's
args=("${accel[@]}" -machine q35 -nodefaults -no-user-config -display none -no-reboot
	-smp 2,sockets=2 -m 3G
	-object memory-backend-ram,id=m0,size=1536M
	-object memory-backend-ram,id=m1,size=1536M
	-numa node,nodeid=0,cpus=0,memdev=m0
	-numa node,nodeid=1,cpus=1,memdev=m1
	-kernel "$image" -initrd "$tmp/initrd"
	-append "console=ttyS0 ignore_loglevel panic=-1 kasan_multi_shot kmemleak=on $reserved nokaslr secretmem.enable=1 watchdog_thresh=30 rcupdate.rcu_cpu_stall_timeout=60 $append"
	-drive "file=$tmp/swap,if=virtio,format=raw,cache=unsafe"
	-drive "file=$tmp/scratch,if=virtio,format=raw,cache=unsafe"
	-chardev "file,id=console,path=$log/console.log" -serial chardev:console
	-chardev stdio,id=port,signal=off -serial chardev:port)

# The third disk is for the guest to write its tar file to.
if [ -n "$gcov" ]; then
	truncate -s 64M "$gcov"
	args+=(-drive "file=$gcov,if=virtio,format=raw,cache=unsafe")
fi

if [ "$mode" = shell ]; then
	xm_say "the kernel log is in $log/console.log"
	[ ! -t 0 ] || terminal=$(stty -g)
	setpriv --pdeathsig KILL qemu-system-x86_64 "${args[@]}" <&0 &
	qemu=$!
	wait "$qemu" || exit 1
	qemu=
	exit
fi

# Answers the guest's questions which program is next, at last with no name.
answer()
{
	local line name

	while read -r line; do
		[[ $line == '# xmirror: next'* ]] || continue
		{
			flock 9
			read -r name <"$queue" || name=
			sed -i 1d "$queue"
		} 9>"$queue.lock"
		printf '%s\n' "$name"
	done
}

mkfifo "$tmp/port" "$tmp/answers" "$tmp/never"
tee "$log/result.log" >(answer >"$tmp/answers") <"$tmp/port" |
	grep --line-buffered -v '^# exit: \|^# xmirror: ' &
tee=$!
setpriv --pdeathsig TERM timeout --foreground -s KILL "$deadline" \
	setpriv --pdeathsig KILL qemu-system-x86_64 "${args[@]}" \
	<>"$tmp/answers" >"$tmp/port" 2>"$log/qemu.log" &
qemu=$!
# The guest ends programs that take too long. If it goes silent for longer, it is
# the guest that hangs.
while ! read -rt 10; do
	last=$(stat -c %Y "$log/result.log")
	[ $((EPOCHSECONDS - last)) -le $((limit + 120)) ] || kill -KILL "$qemu"
done <>"$tmp/never" >/dev/null 2>&1 &
watch=$!
rc=0
wait "$qemu" || rc=$?
qemu=
kill "$watch"
watch=
wait "$tee" || :
printf '%s\n' "mode $mode" "deadline $deadline" "qemu $rc" >"$log/end"
rc=0
"$XM_TOP/guest/judge.sh" "$log" >"$log/verdict" || rc=$?
# Of a single command the output is the result, if all went well.
[ "$mode$rc" = run0 ] || cat "$log/verdict"
exit $rc
